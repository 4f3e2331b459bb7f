"""The captioner describes images shard by shard, which makes the pre-training corpus (paper section 3.3)."""


rule captions:
    """The captions of one shard of the images."""
    input:
        captioner=lineage.captioner_weights(run),
        images=manifests_of(run.captions.sources),
    output:
        layout.caption_shard("{shard}"),
        layout.caption_provenance("{shard}"),
    log:
        layout.log_of("captions", "{shard}"),
    benchmark:
        layout.timing_of("captions", "{shard}")
    priority: 70
    resources:
        **resources_of("captions"),
    params:
        **stage_params(run, "captions"),
    shell:
        "s4v stage captions {wildcards.shard:q} 2>&1 | tee -i {log:q}"


# A corpus that a source provides as it was published is not made here.
if not layout.is_provided(run, layout.PRETRAINING_CORPUS):

    rule pretraining_corpus:
        """The captions of all shards that passed the quality gate."""
        input:
            [layout.caption_shard(shard) for shard in shards(run)],
        output:
            multiext(
                str(layout.PRETRAINING_CORPUS.with_suffix("")),
                ".json",
                ".arithmetic.json",
                ".provenance.jsonl",
            ),
        log:
            layout.log_of("pretraining_corpus"),
        benchmark:
            layout.timing_of("pretraining_corpus")
        priority: 70
        resources:
            **resources_of("pretraining_corpus"),
        params:
            **stage_params(run, "pretraining_corpus"),
        shell:
            "s4v stage pretraining_corpus 2>&1 | tee -i {log:q}"

    rule all_captions:
        """The captions of all shards, and the corpus."""
        input:
            rules.pretraining_corpus.input,
            rules.pretraining_corpus.output,
