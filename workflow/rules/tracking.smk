"""MLflow shows what a run did."""


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
    resources:
        mem_mb=2500,
        runtime=30,
    params:
        **stage_params(run, "track"),
    shell:
        "s4v track --config .work/config.json 2>&1 | tee -i {log:q}"


rule all_tracking:
    """Everything that a run did, shown."""
    input:
        rules.tracked.output,
