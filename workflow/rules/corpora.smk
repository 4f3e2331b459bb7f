"""The pre-training corpus, and instruction mixes with detail captions replaced (paper sections 3.3, 4.3 and 5.4)."""


rule pretraining_corpus:
    """The captions of all shards that passed the quality gate."""
    input:
        expand("data/captions/{shard}.jsonl", shard=shards(run)),
    output:
        "data/sharegpt4v/share-captioner_coco_lcs_sam_1246k_1107.json",
    log:
        "logs/corpora/pretraining.log",
    benchmark:
        "logs/benchmarks/corpora/pretraining.tsv"
    priority: 70
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "corpus-pretraining"),
    shell:
        "s4v corpus pretraining --shards {input} --config .work/config.json 2>&1 | tee -i {log}"


rule substituted_mix:
    """An instruction mix in which seed captions stand in the places of as many of its detail captions."""
    input:
        mix=mix_file(run),
        detail="data/manifests/llava-detail23k.parquet",
        captions="data/sharegpt4v/sharegpt4v_instruct_gpt4-vision_cap100k.json",
    output:
        multiext(
            "data/sharegpt4v/{mix}+{substitution}",
            ".json",
            ".arithmetic.json",
            ".provenance.jsonl",
        ),
    log:
        "logs/corpora/{mix}+{substitution}.log",
    benchmark:
        "logs/benchmarks/corpora/{mix}+{substitution}.tsv"
    priority: 60
    threads: 1
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "corpus-substitution"),
    shell:
        "s4v corpus substitution --mix {wildcards.mix} --substitution {wildcards.substitution} "
        "--config .work/config.json 2>&1 | tee -i {log}"


rule all_corpora:
    """The pre-training corpus, and every instruction mix that a model needs."""
    input:
        rules.pretraining_corpus.output,
        mixes(run),
