"""What each part of the method adds (paper section 5.4, tables 4 to 6, figure 6): `snakemake ablations`, no part of a run.

Pre-trainings and fine-tunings are those of lmm.smk; answers and scores those of benchmarks.smk, for fewer benchmarks;
captions those of captions.smk, by another captioner.
"""


rule ablation_captioner:
    """A captioner that is trained otherwise than the run's."""
    input:
        start=captioner_start_of(run),
        captions=layout.file_source(run, layout.SEED_CAPTIONS),
    output:
        layout.weights(layout.ablation_captioner("{captioner}")),
    log:
        layout.log_of("ablation_captioner", "{captioner}"),
    benchmark:
        layout.timing_of("ablation_captioner", "{captioner}")
    wildcard_constraints:
        captioner=one_of(ablations.captioners(run)),
    priority: 75
    resources:
        **resources_of("ablation_captioner"),
    params:
        **stage_params(run, "ablation_captioner"),
    shell:
        "s4v stage ablation_captioner {wildcards.captioner:q} 2>&1 | tee -i {log:q}"


use rule captions as ablation_captions with:
    input:
        captioner=captioner_of_shard,
        images=manifests_of(run.captions.sources),
    output:
        multiext(str(layout.ABLATION_SHARDS / "{shard}"), ".jsonl", ".provenance.json"),
    wildcard_constraints:
        shard=f"({one_of(ablations.captioners(run))})/[^/]+",


rule ablation_corpus:
    """The captions of a pre-training: whose, of which images, how many."""
    input:
        choice_inputs(run),
    output:
        layout.ablation_corpus("{captions}"),
    log:
        layout.log_of("ablation_corpus", "{captions}"),
    benchmark:
        layout.timing_of("ablation_corpus", "{captions}")
    wildcard_constraints:
        captions=one_of(ablations.caption_sets(run)),
    priority: 65
    resources:
        **resources_of("ablation_corpus"),
    params:
        **stage_params(run, "ablation_corpus"),
    shell:
        "s4v stage ablation_corpus {wildcards.captions:q} 2>&1 | tee -i {log:q}"


rule ablation_mix:
    """An instruction mix whose seed captions the captioner has written anew."""
    input:
        rewritten_inputs(run),
    output:
        layout.ablation_corpus("{rewritten}"),
    log:
        layout.log_of("ablation_mix", "{rewritten}"),
    benchmark:
        layout.timing_of("ablation_mix", "{rewritten}")
    wildcard_constraints:
        rewritten=one_of(ablations.mixes(run)),
    priority: 60
    resources:
        **resources_of("ablation_mix"),
    params:
        **stage_params(run, "ablation_mix"),
    shell:
        "s4v stage ablation_mix {wildcards.rewritten:q} 2>&1 | tee -i {log:q}"


use rule answers as ablation_answers with:
    output:
        per_benchmark(
            layout.ANSWERS, run.ablations.benchmarks, "jsonl", "provenance.json"
        ),
    wildcard_constraints:
        model=one_of(ablations.models(run)),


use rule scores as ablation_scores with:
    input:
        answers=per_benchmark(layout.ANSWERS, run.ablations.benchmarks, "jsonl"),
        questions=evaluation_manifests(run),
    output:
        per_benchmark(layout.SCORES, run.ablations.benchmarks, "json"),
    wildcard_constraints:
        model=one_of(ablations.models(run)),


rule ablations:
    """The table and the figure of every ablation of the config."""
    input:
        scores_of_ablations(run),
    output:
        layout.ABLATION_TABLE,
        layout.ABLATION_MEMORY,
        layout.ABLATION_TABLE.with_suffix(".md"),
        layout.figure("ablations"),
        layout.figure("ablations", "png"),
    log:
        layout.log_of("ablations"),
    benchmark:
        layout.timing_of("ablations")
    resources:
        **resources_of("ablations"),
    params:
        **stage_params(run, "ablations"),
    shell:
        "s4v stage ablations 2>&1 | tee -i {log:q}"
