"""Images and annotation files: fetched, unpacked, checked (paper section 3.2 and 3.3, table 1)."""


rule synthetic_world:
    """Draw the mini world, from which the sources are then fetched as from the internet."""
    output:
        scenes=layout.SCENES,
        world=layout.WORLD / "eval" / "eval.zip",
    log:
        layout.log_of("synthetic_world"),
    benchmark:
        layout.timing_of("synthetic_world")
    priority: 100
    resources:
        **resources_of("synthetic_world"),
    params:
        **stage_params(run, "synthetic_world"),
    shell:
        "s4v stage synthetic_world 2>&1 | tee -i {log:q}"


rule source:
    """Download one source, check every file, list them with their hashes in a manifest."""
    input:
        world(run),
    output:
        layout.manifest("{source}"),
    log:
        layout.log_of("source", "{source}"),
    benchmark:
        layout.timing_of("source", "{source}")
    priority: 100
    resources:
        **resources_of("source"),
    params:
        **stage_params(run, "source"),
    shell:
        "s4v stage source {wildcards.source:q} 2>&1 | tee -i {log:q}"


rule all_sources:
    """Every source of the run."""
    input:
        manifests(run),
