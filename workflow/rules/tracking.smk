"""MLflow shows what a run did, and each cell of the table says where."""


rule tracked:
    """Show everything in MLflow, all at once because it is slow to start and to be written to."""
    input:
        "results/table.csv",
        results_of(run),
    output:
        "results/tracked.txt",
        "results/mlflow_runs.json",
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
        scores(run),
        "results/mlflow_runs.json",
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


rule all_tracking:
    """Everything that a run did, shown."""
    input:
        rules.tracked.output,
        rules.cells.output,
