"""What a run shows: the tables, the figures, MLflow (paper table 1, tables 2 and 3, figure 2)."""


rule table:
    """One row per model, one column per benchmark."""
    input:
        expand(
            "results/scores/{model}/{benchmark}.json",
            model=[model.name for model in run.models],
            benchmark=run.benchmarks.scored,
        ),
    output:
        report("results/table.csv", caption="../report/table.rst", category="Tables"),
        "results/table.md",
    log:
        "logs/report/table.log",
    benchmark:
        "logs/benchmarks/report/table.tsv"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        **stage_params(run, "table"),
    shell:
        "s4v table --config .work/config.json 2>&1 | tee -i {log}"


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
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        **stage_params(run, "substitution"),
    shell:
        "s4v substitution --config .work/config.json 2>&1 | tee -i {log}"


rule datasets:
    """The caption data sets compared."""
    input:
        coco="data/manifests/coco-captions.parquet",
        short="data/manifests/llava-captions.parquet",
        detail="data/manifests/llava-detail23k.parquet",
        seed="data/sharegpt4v/sharegpt4v_instruct_gpt4-vision_cap100k.json",
        pretraining="data/sharegpt4v/share-captioner_coco_lcs_sam_1246k_1107.json",
    output:
        report(
            "results/datasets.csv", caption="../report/datasets.rst", category="Tables"
        ),
    log:
        "logs/report/datasets.log",
    benchmark:
        "logs/benchmarks/report/datasets.tsv"
    threads: 1
    resources:
        mem_mb=2500,
        runtime=30,
    params:
        **stage_params(run, "datasets"),
    shell:
        "s4v datasets 2>&1 | tee -i {log}"


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
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        **stage_params(run, "figures"),
    shell:
        "s4v figures {wildcards.name} 2>&1 | tee -i {log}"


rule tracked:
    """Show everything in MLflow, all at once because it is slow to start and to be written to."""
    input:
        "results/table.csv",
        results_of(run),
    output:
        "results/tracked.txt",
    log:
        "logs/report/tracked.log",
    benchmark:
        "logs/benchmarks/report/tracked.tsv"
    threads: 1
    resources:
        mem_mb=2500,
        runtime=30,
    params:
        **stage_params(run, "track"),
    shell:
        "s4v track --config .work/config.json 2>&1 | tee -i {log}"


rule cells:
    """All that is known of each cell of the table."""
    input:
        scores=expand(
            "results/scores/{model}/{benchmark}.json",
            model=[model.name for model in run.models],
            benchmark=run.benchmarks.scored,
        ),
        tracked="results/tracked.txt",
    output:
        "results/scores.csv",
    log:
        "logs/report/cells.log",
    benchmark:
        "logs/benchmarks/report/cells.tsv"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        **stage_params(run, "cells"),
    shell:
        "s4v cells --config .work/config.json 2>&1 | tee -i {log}"
