"""The multi-modal models: pre-training and fine-tuning (paper sections 4.2 and 4.3)."""


rule pretraining:
    """Upper half of the tower, projector and language model learn from the captioner's captions; of ablations, as these
    say."""
    input:
        unpack(pretraining_inputs(run)),
    output:
        layout.weights(layout.pretrained("{pretrained}")),
    log:
        layout.log_of("pretraining", "{pretrained}"),
    benchmark:
        layout.timing_of("pretraining", "{pretrained}")
    priority: 60
    resources:
        **resources_of("pretraining"),
    params:
        **stage_params(run, "pretraining"),
    shell:
        "s4v stage pretraining {wildcards.pretrained:q} 2>&1 | tee -i {log:q}"


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
    wildcard_constraints:
        model=f"({layout.ABLATIONS}/)?[^/]+",
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
