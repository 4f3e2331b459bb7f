"""What a run shows: the tables and the figures (paper table 1, tables 2 and 3, figure 2)."""


rule table:
    """One row per model, one column per benchmark."""
    input:
        scores(run),
    output:
        report("results/table.csv", caption="../report/table.rst", category="Tables"),
        "results/table.md",
    log:
        "logs/report/table.log",
    benchmark:
        "logs/benchmarks/report/table.tsv"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        **stage_params(run, "table"),
    shell:
        "s4v table --config .work/config.json 2>&1 | tee -i {log:q}"


rule cells:
    """All that is known of each cell of the table."""
    input:
        scores(run),
    output:
        "results/scores.csv",
    log:
        "logs/report/cells.log",
    benchmark:
        "logs/benchmarks/report/cells.tsv"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        **stage_params(run, "cells"),
    shell:
        "s4v cells --config .work/config.json 2>&1 | tee -i {log:q}"


rule substitution:
    """What better captions do by themselves."""
    input:
        expand(
            "results/scores/{model}/{benchmark}.json",
            model=paired_models(run),
            benchmark=run.benchmarks.scored,
        ),
    output:
        report(
            "results/substitution.csv",
            caption="../report/substitution.rst",
            category="Tables",
        ),
        "results/substitution_errors.csv",
        "results/substitution.md",
    log:
        "logs/report/substitution.log",
    benchmark:
        "logs/benchmarks/report/substitution.tsv"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        **stage_params(run, "substitution"),
    shell:
        "s4v substitution --config .work/config.json 2>&1 | tee -i {log:q}"


rule mixture:
    """How many rows of each source the corpora had, lost, got, and have."""
    input:
        corpora(run),
    output:
        report(
            "results/mixture.csv", caption="../report/mixture.rst", category="Tables"
        ),
    log:
        "logs/report/mixture.log",
    benchmark:
        "logs/benchmarks/report/mixture.tsv"
    resources:
        mem_mb=500,
        runtime=30,
    params:
        **stage_params(run, "mixture"),
    shell:
        "s4v mixture --config .work/config.json 2>&1 | tee -i {log:q}"


rule datasets:
    """The caption data sets compared, and what the captions of each are like."""
    input:
        coco="data/manifests/coco-captions.parquet",
        short="data/manifests/llava-captions.parquet",
        detail="data/manifests/llava-detail23k.parquet",
        seed=file_source(run, SEED_CAPTIONS),
        pretraining=file_source(run, PRETRAINING_CORPUS),
    output:
        report(
            "results/datasets.csv", caption="../report/datasets.rst", category="Tables"
        ),
        report(
            expand(
                "results/captions/{set}.csv",
                set=["coco", "short", "detail", "seed", "pretraining"],
            ),
            caption="../report/captions.rst",
            category="Tables",
        ),
    log:
        "logs/report/datasets.log",
    benchmark:
        "logs/benchmarks/report/datasets.tsv"
    threads: 2
    resources:
        mem_mb=2500,
        runtime=30,
    params:
        **stage_params(run, "datasets"),
    shell:
        "s4v datasets --processes {threads:q} 2>&1 | tee -i {log:q}"


rule figure:
    """A figure of one of the tables."""
    input:
        "results/{name}.csv",
    output:
        report(
            "results/figures/{name}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
    log:
        "logs/report/figure-{name}.log",
    benchmark:
        "logs/benchmarks/report/figure-{name}.tsv"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        **stage_params(run, "figures"),
    shell:
        "s4v figures {wildcards.name:q} 2>&1 | tee -i {log:q}"


rule metrics:
    """The scores and the curves of the trainings, for `dvc metrics show` and `dvc plots show`."""
    input:
        trainings(run),
        scores(run),
    output:
        metrics(run),
        curves="results/curves.csv",
    log:
        "logs/report/metrics.log",
    benchmark:
        "logs/benchmarks/report/metrics.tsv"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        **stage_params(run, "metrics"),
    shell:
        "s4v metrics --config .work/config.json 2>&1 | tee -i {log:q}"


rule all_report:
    """Every table and figure."""
    input:
        "results/table.csv",
        results_of(run),
