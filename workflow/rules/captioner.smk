"""The captioner, trained on the seed captions (paper section 3.3)."""


rule captioner:
    """Train Share-Captioner."""
    input:
        start=layout.weights(lineage.captioner_start(run)),
        captions=layout.file_source(run, layout.SEED_CAPTIONS),
    output:
        layout.weights(layout.CAPTIONER),
    log:
        layout.log_of("captioner"),
    benchmark:
        layout.timing_of("captioner")
    priority: 75
    resources:
        **resources_of("captioner"),
    params:
        **stage_params(run, "captioner"),
    shell:
        "s4v stage captioner 2>&1 | tee -i {log:q}"


rule all_captioner:
    """The captioner."""
    input:
        rules.captioner.output,
