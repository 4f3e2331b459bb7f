"""Images and annotation files: fetched, unpacked, checked (paper section 3.2 and 3.3, table 1)."""


rule mini_world:
    """Draw the mini world, from which the sources are then fetched as from the internet."""
    output:
        scenes="data/mini/scenes.jsonl",
        world="data/mini/world/eval/eval.zip",
    log:
        "logs/sources/mini-world.log",
    benchmark:
        "logs/benchmarks/sources/mini-world.tsv"
    priority: 100
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        **stage_params(run, "mini-world"),
    shell:
        "s4v mini-world --config .work/config.json 2>&1 | tee -i {log:q}"


rule source:
    """Download one source, check every file, list them with their hashes in a manifest."""
    input:
        world(run),
    output:
        "data/manifests/{source}.parquet",
    log:
        "logs/sources/{source}.log",
    benchmark:
        "logs/benchmarks/sources/{source}.tsv"
    priority: 100
    resources:
        mem_mb=1000,
        runtime=2880,
    params:
        **stage_params(run, "fetch"),
    shell:
        "s4v fetch {wildcards.source:q} --config .work/config.json 2>&1 | tee -i {log:q}"


rule all_sources:
    """Every source of the run."""
    input:
        manifests(run),
