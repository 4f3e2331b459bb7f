"""Seed captions from a strong vision model (paper section 3.2)."""


rule seed_captions:
    """Ask the teacher about a chosen part of the images."""
    input:
        world(run),
        expand("data/manifests/{source}.parquet", source=run.teacher.captions),
    output:
        multiext(
            "data/sharegpt4v/sharegpt4v_instruct_gpt4-vision_cap100k",
            ".json",
            ".provenance.jsonl",
            ".rejected.jsonl",
            ".rejected.html",
            ".prompts.json",
        ),
    log:
        "logs/seed/captions.log",
    benchmark:
        "logs/benchmarks/seed/captions.tsv"
    priority: 70
    resources:
        mem_mb=1000,
        runtime=2880,
    params:
        **stage_params(run, "seed"),
    shell:
        "s4v seed --config .work/config.json 2>&1 | tee -i {log:q}"


rule all_seed:
    """The seed captions."""
    input:
        rules.seed_captions.output,
