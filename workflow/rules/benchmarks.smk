"""Answers and scores of every model on every benchmark (paper section 5.1)."""


rule answers:
    """A model answers all benchmarks."""
    input:
        model=model_weights(run),
        questions=evaluation_manifests(run),
    output:
        per_benchmark(layout.ANSWERS, run.benchmarks.names, "jsonl", "provenance.json"),
    log:
        layout.log_of("answers", "{model}"),
    benchmark:
        layout.timing_of("answers", "{model}")
    priority: 40
    resources:
        **resources_of("answers"),
    params:
        **stage_params(run, "answers"),
    shell:
        "s4v stage answers {wildcards.model:q} 2>&1 | tee -i {log:q}"


rule judgements:
    """A judge's replies to the answers of a model, where a judge grades them."""
    input:
        answers=per_benchmark(layout.ANSWERS, run.benchmarks.judged, "jsonl"),
        questions=evaluation_manifests(run),
    output:
        per_benchmark(layout.JUDGED, run.benchmarks.judged, "json", "provenance.json"),
    log:
        layout.log_of("judgements", "{model}"),
    benchmark:
        layout.timing_of("judgements", "{model}")
    priority: 35
    resources:
        **resources_of("judgements"),
    params:
        **stage_params(run, "judgements"),
    shell:
        "s4v stage judgements {wildcards.model:q} 2>&1 | tee -i {log:q}"


rule scores:
    """The answers of a model, scored by the official rules."""
    input:
        answers=per_benchmark(layout.ANSWERS, run.benchmarks.scored, "jsonl"),
        replies=per_benchmark(layout.JUDGED, run.benchmarks.judged, "json"),
        questions=evaluation_manifests(run),
    output:
        per_benchmark(layout.SCORES, run.benchmarks.scored, "json"),
    log:
        layout.log_of("scores", "{model}"),
    benchmark:
        layout.timing_of("scores", "{model}")
    priority: 30
    resources:
        **resources_of("scores"),
    params:
        **stage_params(run, "scores"),
    shell:
        "s4v stage scores {wildcards.model:q} 2>&1 | tee -i {log:q}"


rule text_baseline:
    """A language model before any multi-modal training answers what is asked without images."""
    input:
        model=layout.weights(layout.aligned("{size}")),
        questions=evaluation_manifests(run),
    output:
        text_baseline_files("{size}"),
    log:
        layout.log_of("text_baseline", "{size}"),
    benchmark:
        layout.timing_of("text_baseline", "{size}")
    priority: 40
    resources:
        **resources_of("text_baseline"),
    params:
        **stage_params(run, "text_baseline"),
    shell:
        "s4v stage text_baseline {wildcards.size:q} 2>&1 | tee -i {log:q}"


rule submissions:
    """The files that the evaluation servers take."""
    input:
        answers=per_benchmark(layout.ANSWERS, run.benchmarks.submissions, "jsonl"),
        questions=evaluation_manifests(run),
    output:
        directory(layout.SUBMISSIONS / "{model}"),
    log:
        layout.log_of("submissions", "{model}"),
    benchmark:
        layout.timing_of("submissions", "{model}")
    priority: 25
    resources:
        **resources_of("submissions"),
    params:
        **stage_params(run, "submissions"),
    shell:
        "s4v stage submissions {wildcards.model:q} 2>&1 | tee -i {log:q}"


rule all_benchmarks:
    """The scores of every model on every benchmark, and what the evaluation servers take."""
    input:
        scores(run),
        text_baselines(run),
        [layout.SUBMISSIONS / model.name for model in run.models],
