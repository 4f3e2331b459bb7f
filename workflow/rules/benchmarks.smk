"""Answers and scores of every model on every benchmark (paper section 5.1)."""


rule answers:
    """A model answers all benchmarks."""
    input:
        model="checkpoints/{model}/finetuned/model.safetensors",
        questions=evaluation_manifest(run),
    output:
        expand(
            "results/answers/{{model}}/{benchmark}.{what}",
            benchmark=run.benchmarks.names,
            what=["jsonl", "provenance.json"],
        ),
    log:
        "logs/answers/{model}.log",
    benchmark:
        "logs/benchmarks/answers/{model}.tsv"
    priority: 40
    resources:
        mem_mb=2500,
        runtime=60,
    params:
        **stage_params(run, "answer"),
    shell:
        "s4v answer all --model checkpoints/{wildcards.model:q}/finetuned --name {wildcards.model:q} "
        "--config .work/config.json 2>&1 | tee -i {log:q}"


rule judged:
    """A judge's replies to the answers of a model, where a judge grades them."""
    input:
        answers=expand(
            "results/answers/{{model}}/{benchmark}.jsonl",
            benchmark=run.benchmarks.judged,
        ),
        questions=evaluation_manifest(run),
    output:
        expand(
            "results/judged/{{model}}/{benchmark}.{what}",
            benchmark=run.benchmarks.judged,
            what=["json", "provenance.json"],
        ),
    log:
        "logs/judged/{model}.log",
    benchmark:
        "logs/benchmarks/judged/{model}.tsv"
    priority: 35
    resources:
        mem_mb=1000,
        runtime=120,
    params:
        **stage_params(run, "judge"),
    shell:
        "s4v judge all --answers results/answers/{wildcards.model:q} --out results/judged/{wildcards.model:q} "
        "--config .work/config.json 2>&1 | tee -i {log:q}"


rule scores:
    """The answers of a model, scored by the official rules."""
    input:
        answers=expand(
            "results/answers/{{model}}/{benchmark}.jsonl",
            benchmark=run.benchmarks.scored,
        ),
        replies=expand(
            "results/judged/{{model}}/{benchmark}.json",
            benchmark=run.benchmarks.judged,
        ),
        questions=evaluation_manifest(run),
    output:
        expand(
            "results/scores/{{model}}/{benchmark}.json",
            benchmark=run.benchmarks.scored,
        ),
    log:
        "logs/scores/{model}.log",
    benchmark:
        "logs/benchmarks/scores/{model}.tsv"
    priority: 30
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        **stage_params(run, "score"),
    shell:
        "s4v score all --answers results/answers/{wildcards.model:q} --json results/scores/{wildcards.model:q} "
        "--config .work/config.json 2>&1 | tee -i {log:q}"


rule submissions:
    """The files that the evaluation servers take."""
    input:
        answers=expand(
            "results/answers/{{model}}/{benchmark}.jsonl",
            benchmark=run.benchmarks.submissions,
        ),
        questions=evaluation_manifest(run),
    output:
        directory("results/submissions/{model}"),
    log:
        "logs/submissions/{model}.log",
    benchmark:
        "logs/benchmarks/submissions/{model}.tsv"
    priority: 25
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        **stage_params(run, "submission"),
    shell:
        "s4v submission all --answers results/answers/{wildcards.model:q} "
        "--out results/submissions/{wildcards.model:q} --config .work/config.json 2>&1 | tee -i {log:q}"


rule all_benchmarks:
    """The scores of every model on every benchmark, and what the evaluation servers take."""
    input:
        scores(run),
        expand(
            "results/submissions/{model}", model=[model.name for model in run.models]
        ),
