"""Base models, and the alignment of a vision tower with a language model (paper section 4.1)."""


rule tokenizer:
    """The tokenizer that all language models share."""
    output:
        layout.TOKENIZER / "tokenizer.json",
    log:
        layout.log_of("tokenizer"),
    benchmark:
        layout.timing_of("tokenizer")
    priority: 100
    resources:
        **resources_of("tokenizer"),
    params:
        **stage_params(run, "tokenizer"),
    shell:
        "s4v stage tokenizer 2>&1 | tee -i {log:q}"


rule language_model:
    """A language model that has only read text; made here, or taken where the config names a published one."""
    input:
        llm_inputs(run),
    output:
        layout.weights(layout.llm("{size}")),
    log:
        layout.log_of("language_model", "{size}"),
    benchmark:
        layout.timing_of("language_model", "{size}")
    priority: 90
    resources:
        **resources_of("language_model"),
    params:
        **stage_params(run, "language_model"),
    shell:
        "s4v stage language_model {wildcards.size:q} 2>&1 | tee -i {log:q}"


rule vision_tower:
    """A CLIP that has seen images and the few words that came with them; made here, or taken."""
    input:
        tower_inputs(run),
    output:
        layout.weights(layout.TOWER),
    log:
        layout.log_of("vision_tower"),
    benchmark:
        layout.timing_of("vision_tower")
    priority: 95
    resources:
        **resources_of("vision_tower"),
    params:
        **stage_params(run, "vision_tower"),
    shell:
        "s4v stage vision_tower 2>&1 | tee -i {log:q}"


rule alignment:
    """A new projector learns to speak to the language model, on short captions; or a published one is taken."""
    input:
        unpack(alignment_inputs(run)),
    output:
        layout.weights(layout.aligned("{size}")),
    log:
        layout.log_of("alignment", "{size}"),
    benchmark:
        layout.timing_of("alignment", "{size}")
    priority: 80
    resources:
        **resources_of("alignment"),
    params:
        **stage_params(run, "alignment"),
    shell:
        "s4v stage alignment {wildcards.size:q} 2>&1 | tee -i {log:q}"


rule published_model:
    """A published multi-modal model, in the layout of this project's checkpoints."""
    output:
        layout.weights(layout.PUBLISHED / "{published}"),
    log:
        layout.log_of("published_model", "{published}"),
    benchmark:
        layout.timing_of("published_model", "{published}")
    priority: 90
    resources:
        **resources_of("published_model"),
    params:
        **stage_params(run, "published_model"),
    shell:
        "s4v stage published_model {wildcards.published:q} 2>&1 | tee -i {log:q}"


rule all_base_models:
    """Every size of base model, aligned with the vision tower, and every published model."""
    input:
        [layout.weights(layout.aligned(size)) for size in lineage.sizes(run)],
        [
            layout.weights(layout.PUBLISHED / name)
            for name in lineage.published_models(run)
        ],
