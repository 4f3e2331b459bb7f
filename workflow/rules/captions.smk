"""The captioner describes the images of the pre-training corpus, shard by shard (paper section 3.3)."""


rule captions:
    """The captions of one shard of the images."""
    input:
        captioner="checkpoints/captioner/model.safetensors",
        images=expand("data/manifests/{source}.parquet", source=run.captions.sources),
    output:
        "data/captions/{shard}.jsonl",
    log:
        "logs/captions/{shard}.log",
    benchmark:
        "logs/benchmarks/captions/{shard}.tsv"
    priority: 70
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "caption-shard"),
    shell:
        "s4v caption-shard {wildcards.shard} --config .work/config.json 2>&1 | tee -i {log}"


rule all_captions:
    """The captions of all shards."""
    input:
        expand("data/captions/{shard}.jsonl", shard=shards(run)),
