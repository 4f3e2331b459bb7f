"""Base models, and the alignment of a vision tower with a language model (paper section 4.1)."""


rule tokenizer:
    """The tokenizer that all language models share."""
    output:
        "checkpoints/base/tokenizer/tokenizer.json",
    log:
        "logs/base/tokenizer.log",
    benchmark:
        "logs/benchmarks/base/tokenizer.tsv"
    priority: 100
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        **stage_params(run, "base-tokenizer"),
    shell:
        "s4v base tokenizer --config .work/config.json 2>&1 | tee -i {log:q}"


rule language_model:
    """A language model that has only read text; made here, or taken where the config names a published one."""
    input:
        llm_inputs(run),
    output:
        "checkpoints/base/llm-{size}/model.safetensors",
    log:
        "logs/base/llm-{size}.log",
    benchmark:
        "logs/benchmarks/base/llm-{size}.tsv"
    priority: 90
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "base-llm"),
    shell:
        "s4v base llm {wildcards.size:q} --config .work/config.json 2>&1 | tee -i {log:q}"


rule vision_tower:
    """A CLIP that has seen images and the few words that came with them; made here, or taken."""
    input:
        tower_inputs(run),
    output:
        "checkpoints/base/vision-tower/model.safetensors",
    log:
        "logs/base/vision-tower.log",
    benchmark:
        "logs/benchmarks/base/vision-tower.tsv"
    priority: 95
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "base-tower"),
    shell:
        "s4v base tower --config .work/config.json 2>&1 | tee -i {log:q}"


rule alignment:
    """A new projector learns to speak to the language model, on short captions."""
    input:
        tower="checkpoints/base/vision-tower/model.safetensors",
        llm="checkpoints/base/llm-{size}/model.safetensors",
        images="data/manifests/llava.parquet",
        captions="data/manifests/llava-captions.parquet",
    output:
        "checkpoints/aligned/{size}/model.safetensors",
    log:
        "logs/base/aligned-{size}.log",
    benchmark:
        "logs/benchmarks/base/aligned-{size}.tsv"
    priority: 80
    resources:
        **training_resources(run),
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "align"),
    shell:
        "s4v align {wildcards.size:q} --config .work/config.json 2>&1 | tee -i {log:q}"


rule all_base:
    """Every size of base model, aligned with the vision tower."""
    input:
        expand("checkpoints/aligned/{size}/model.safetensors", size=sizes(run)),
