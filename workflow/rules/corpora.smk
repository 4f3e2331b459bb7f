"""Instruction mixes with detail captions replaced (paper sections 4.3 and 5.4)."""


rule instruction_mix:
    """An instruction mix in which seed captions replace its detail captions."""
    input:
        mix=mix_file(run),
        detail=layout.manifest("llava-detail23k"),
        captions=layout.file_source(run, layout.SEED_CAPTIONS),
    output:
        multiext(
            str(layout.corpus_named("{corpus}").with_suffix("")),
            ".json",
            ".arithmetic.json",
            ".provenance.jsonl",
        ),
    log:
        layout.log_of("instruction_mix", "{corpus}"),
    benchmark:
        layout.timing_of("instruction_mix", "{corpus}")
    priority: 60
    resources:
        **resources_of("instruction_mix"),
    params:
        **stage_params(run, "instruction_mix"),
    shell:
        "s4v stage instruction_mix {wildcards.corpus:q} 2>&1 | tee -i {log:q}"


rule all_corpora:
    """Every instruction mix that a model needs."""
    input:
        mixes(run),
