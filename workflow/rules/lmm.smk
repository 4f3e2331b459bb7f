"""The multi-modal models: pre-training and fine-tuning (paper sections 4.2 and 4.3)."""


rule pretraining:
    """Upper half of the tower, projector and language model learn from the captioner's captions."""
    input:
        start=layout.weights(layout.aligned("{size}")),
        captions=layout.file_source(run, layout.PRETRAINING_CORPUS),
    output:
        layout.weights(layout.pretrained("{size}")),
    log:
        layout.log_of("pretraining", "{size}"),
    benchmark:
        layout.timing_of("pretraining", "{size}")
    priority: 60
    resources:
        **resources_of("pretraining"),
    params:
        **stage_params(run, "pretraining"),
    shell:
        "s4v stage pretraining {wildcards.size:q} 2>&1 | tee -i {log:q}"


rule finetuning:
    """Projector and language model learn to follow instructions; the result is a row of the table."""
    input:
        unpack(finetuning_inputs(run)),
    output:
        layout.weights(layout.finetuned("{model}")),
    log:
        layout.log_of("finetuning", "{model}"),
    benchmark:
        layout.timing_of("finetuning", "{model}")
    priority: 50
    resources:
        **resources_of("finetuning"),
    params:
        **stage_params(run, "finetuning"),
    shell:
        "s4v stage finetuning {wildcards.model:q} 2>&1 | tee -i {log:q}"


rule all_lmm:
    """Every model of the run."""
    input:
        trainings(run),
