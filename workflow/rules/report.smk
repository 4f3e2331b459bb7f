"""What a run shows: the tables and the figures (paper table 1, tables 2 and 3, figure 2)."""


rule table:
    """One row per model, one column per benchmark."""
    input:
        scores(run),
        text_baselines(run),
    output:
        tables(run),
        layout.ABOUT_RESULTS,
    log:
        layout.log_of("table"),
    benchmark:
        layout.timing_of("table")
    resources:
        **resources_of("table"),
    params:
        **stage_params(run, "table"),
    shell:
        "s4v stage table 2>&1 | tee -i {log:q}"


rule cells:
    """All that is known of each cell of the table."""
    input:
        scores(run),
    output:
        layout.CELLS,
    log:
        layout.log_of("cells"),
    benchmark:
        layout.timing_of("cells")
    resources:
        **resources_of("cells"),
    params:
        **stage_params(run, "cells"),
    shell:
        "s4v stage cells 2>&1 | tee -i {log:q}"


rule substitution:
    """What better captions do by themselves."""
    input:
        scores(run, paired_models(run)),
    output:
        layout.SUBSTITUTION,
        layout.SUBSTITUTION_ERRORS,
        layout.SUBSTITUTION.with_suffix(".md"),
    log:
        layout.log_of("substitution"),
    benchmark:
        layout.timing_of("substitution")
    resources:
        **resources_of("substitution"),
    params:
        **stage_params(run, "substitution"),
    shell:
        "s4v stage substitution 2>&1 | tee -i {log:q}"


rule mixture:
    """How many rows of each source the corpora had, lost, got, and have."""
    input:
        corpora(run),
    output:
        layout.MIXTURE,
    log:
        layout.log_of("mixture"),
    benchmark:
        layout.timing_of("mixture")
    resources:
        **resources_of("mixture"),
    params:
        **stage_params(run, "mixture"),
    shell:
        "s4v stage mixture 2>&1 | tee -i {log:q}"


rule datasets:
    """The caption data sets compared, and what the captions of each are like."""
    input:
        coco=layout.manifest("coco-captions"),
        short=layout.manifest("llava-captions"),
        detail=layout.manifest("llava-detail23k"),
        seed=layout.file_source(run, layout.SEED_CAPTIONS),
        pretraining=layout.file_source(run, layout.PRETRAINING_CORPUS),
    output:
        layout.DATASETS,
        [layout.caption_statistics(name) for name in layout.CAPTION_SETS],
    log:
        layout.log_of("datasets"),
    benchmark:
        layout.timing_of("datasets")
    threads: STAGES["datasets"].processes
    resources:
        **resources_of("datasets"),
    params:
        **stage_params(run, "datasets"),
    shell:
        "s4v stage datasets 2>&1 | tee -i {log:q}"


rule figures:
    """A figure of one of the tables."""
    input:
        layout.RESULTS / "{name}.csv",
    output:
        report(
            layout.figure("{name}"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
        layout.figure("{name}", "png"),
    log:
        layout.log_of("figures", "{name}"),
    benchmark:
        layout.timing_of("figures", "{name}")
    resources:
        **resources_of("figures"),
    params:
        **stage_params(run, "figures"),
    shell:
        "s4v stage figures {wildcards.name:q} 2>&1 | tee -i {log:q}"


rule report:
    """The report of the run as one page, and the tables as Snakemake's own report shows them."""
    input:
        layout.TABLE,
        results_of(run),
        corpora(run),
    output:
        layout.REPORT,
        [
            report(
                layout.table_page(name),
                caption=f"../report/{name.partition('/')[0]}.rst",
                category="Tables",
                labels={"table": name},
            )
            for name in tables_of(run)
        ],
    log:
        layout.log_of("report"),
    benchmark:
        layout.timing_of("report")
    resources:
        **resources_of("report"),
    params:
        **stage_params(run, "report"),
    shell:
        "s4v stage report 2>&1 | tee -i {log:q}"


rule metrics:
    """The scores and the curves of the trainings, for `dvc metrics show` and `dvc plots show`."""
    input:
        trainings(run),
        scores(run),
    output:
        metrics(run),
        curves=layout.CURVES,
    log:
        layout.log_of("metrics"),
    benchmark:
        layout.timing_of("metrics")
    resources:
        **resources_of("metrics"),
    params:
        **stage_params(run, "metrics"),
    shell:
        "s4v stage metrics 2>&1 | tee -i {log:q}"


rule cards:
    """A card of each model and of each data set. Those of the models go into their folders too, as README.md."""
    input:
        card_inputs(run),
    output:
        cards(run),
    log:
        layout.log_of("cards"),
    benchmark:
        layout.timing_of("cards")
    resources:
        **resources_of("cards"),
    params:
        **stage_params(run, "cards"),
    shell:
        "s4v stage cards 2>&1 | tee -i {log:q}"


rule all_report:
    """Every table, figure and card, and the report of them."""
    input:
        layout.TABLE,
        results_of(run),
        cards(run),
        layout.REPORT,
