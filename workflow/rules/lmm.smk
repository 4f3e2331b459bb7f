"""The multi-modal models: pre-training and fine-tuning (paper sections 4.2 and 4.3)."""


rule pretrained:
    """Upper half of the tower, projector and language model learn from the captioner's captions."""
    input:
        start="checkpoints/aligned/{size}/model.safetensors",
        captions=file_source(run, PRETRAINING_CORPUS),
    output:
        "checkpoints/pretrained/{size}/model.safetensors",
    log:
        "logs/pretraining/{size}.log",
    benchmark:
        "logs/benchmarks/pretraining/{size}.tsv"
    priority: 60
    resources:
        **training_resources(run),
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "pretrain"),
    shell:
        "s4v pretrain {wildcards.size:q} --config .work/config.json 2>&1 | tee -i {log:q}"


rule finetuned:
    """Projector and language model learn to follow instructions; the result is a row of the table."""
    input:
        unpack(finetuning_inputs(run)),
    output:
        "checkpoints/{model}/finetuned/model.safetensors",
    log:
        "logs/finetuning/{model}.log",
    benchmark:
        "logs/benchmarks/finetuning/{model}.tsv"
    priority: 50
    resources:
        **training_resources(run),
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "finetune"),
    shell:
        "s4v finetune {wildcards.model:q} --config .work/config.json 2>&1 | tee -i {log:q}"


rule all_lmm:
    """Every model of the run."""
    input:
        trainings(run),
