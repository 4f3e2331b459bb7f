"""MLflow shows what a run did."""


rule tracking:
    """Show everything in MLflow, all at once because it is slow to start and to be written to."""
    input:
        layout.TABLE,
        results_of(run),
        layout.REPORT,
    output:
        layout.TRACKED,
        layout.MLFLOW_RUNS,
    log:
        layout.log_of("tracking"),
    benchmark:
        layout.timing_of("tracking")
    resources:
        **resources_of("tracking"),
    params:
        **stage_params(run, "tracking"),
    shell:
        "s4v stage tracking 2>&1 | tee -i {log:q}"


rule all_tracking:
    """Everything that a run did, shown."""
    input:
        rules.tracking.output,
