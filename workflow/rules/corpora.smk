"""Instruction mixes with detail captions replaced (paper sections 4.3 and 5.4)."""


rule substituted_mix:
    """An instruction mix in which seed captions stand in the places of its detail captions."""
    input:
        mix=mix_file(run),
        detail="data/manifests/llava-detail23k.parquet",
        captions=file_source(run, SEED_CAPTIONS),
    output:
        multiext(
            "data/sharegpt4v/{corpus}",
            ".json",
            ".arithmetic.json",
            ".provenance.jsonl",
        ),
    log:
        "logs/corpora/{corpus}.log",
    benchmark:
        "logs/benchmarks/corpora/{corpus}.tsv"
    priority: 60
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "corpus-substitution"),
    shell:
        "s4v corpus substitution --name {wildcards.corpus:q} --config .work/config.json "
        "2>&1 | tee -i {log:q}"


rule all_corpora:
    """Every instruction mix that a model needs."""
    input:
        mixes(run),
