"""Seed captions from a strong vision model (paper section 3.2)."""


rule seed_captions:
    """Ask the teacher about a chosen part of the images."""
    input:
        world(run),
        manifests_of(name for name, count in run.teacher.captions.items() if count),
    output:
        multiext(
            str(layout.SEED_CAPTIONS.with_suffix("")),
            ".json",
            ".provenance.jsonl",
            ".rejected.jsonl",
            ".rejected.html",
            ".prompts.json",
        ),
    log:
        layout.log_of("seed_captions"),
    benchmark:
        layout.timing_of("seed_captions")
    priority: 70
    resources:
        **resources_of("seed_captions"),
    params:
        **stage_params(run, "seed_captions"),
    shell:
        "s4v stage seed_captions 2>&1 | tee -i {log:q}"


rule all_seed_captions:
    """The seed captions."""
    input:
        rules.seed_captions.output,
