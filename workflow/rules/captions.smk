"""The captioner describes images shard by shard, which makes the pre-training corpus (paper section 3.3)."""


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
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "caption-shard"),
    shell:
        "s4v caption-shard {wildcards.shard:q} --config .work/config.json 2>&1 | tee -i {log:q}"


rule pretraining_corpus:
    """The captions of all shards that passed the quality gate."""
    input:
        expand("data/captions/{shard}.jsonl", shard=shards(run)),
    output:
        multiext(
            "data/sharegpt4v/share-captioner_coco_lcs_sam_1246k_1107",
            ".json",
            ".arithmetic.json",
            ".provenance.jsonl",
        ),
    log:
        "logs/corpora/pretraining.log",
    benchmark:
        "logs/benchmarks/corpora/pretraining.tsv"
    priority: 70
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "corpus-pretraining"),
    shell:
        "s4v corpus pretraining --shards {input:q} --config .work/config.json 2>&1 | tee -i {log:q}"


rule all_captions:
    """The captions of all shards, and the corpus."""
    input:
        rules.pretraining_corpus.input,
        rules.pretraining_corpus.output,
