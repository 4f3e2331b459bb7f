"""The captioner, trained on the seed captions (paper section 3.3)."""


rule captioner:
    """Train Share-Captioner."""
    input:
        start=f"checkpoints/aligned/{run.captioner.size}/model.safetensors",
        captions=file_source(run, SEED_CAPTIONS),
    output:
        "checkpoints/captioner/model.safetensors",
    log:
        "logs/captioner/captioner.log",
    benchmark:
        "logs/benchmarks/captioner/captioner.tsv"
    priority: 75
    resources:
        **training_resources(run),
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "train-captioner"),
    shell:
        "s4v train-captioner --config .work/config.json 2>&1 | tee -i {log:q}"


rule all_captioner:
    """The captioner."""
    input:
        rules.captioner.output,
