"""ShareGPT4V from images to the results table: `snakemake results/table.csv`.

Rules stand in the order of the pipeline, in workflow/rules. Each runs one verb of `s4v`; its params hold the part of
the config and the hash of the code that it depends on, so that a change makes again what depends on it, and no more.
"""

from re import escape

from snakemake.utils import min_version

from sharegpt4v.pipeline.failures import tell_failures
from sharegpt4v.layout import (
    PRETRAINING_CORPUS,
    SEED_CAPTIONS,
    file_source,
    is_taken,
    sizes,
    substituted,
)
from sharegpt4v.pipeline.stages import stage_params
from sharegpt4v.pipeline.start import begin, prepare_environment, read_config
from sharegpt4v.pipeline.targets import (
    corpora,
    evaluation_manifest,
    finetuning_inputs,
    llm_inputs,
    manifests,
    metrics,
    mix_file,
    mixes,
    paired_models,
    results_of,
    scores,
    shards,
    tower_inputs,
    training_resources,
    trainings,
    world,
)

min_version("9.0")


# The environment is envs/core.lock (`make setup`); this names a system it is known to run on.
container: "docker://python:3.11-bookworm"


prepare_environment()
run = read_config(
    workflow.config_settings.configfiles,
    workflow.config_settings.config,
    workflow.output_settings.dryrun,
)


onstart:
    begin(run)


onerror:
    tell_failures(log)


wildcard_constraints:
    source="[^/]+",
    size="[^/]+",
    model="[^/]+",
    shard=r"\d+-of-\d+",
    corpus="|".join(map(escape, substituted(run))),


# Small things are done where Snakemake runs, and do not wait in a cluster's queue.
localrules:
    table,
    cells,
    substitution,
    mixture,
    figure,
    metrics,
    tracked,
    all,


include: "workflow/rules/sources.smk"


# What a source brings as it was published is taken, and nothing here makes it.
if not is_taken(run, SEED_CAPTIONS):

    include: "workflow/rules/seed.smk"


include: "workflow/rules/base.smk"
include: "workflow/rules/captioner.smk"


if not is_taken(run, PRETRAINING_CORPUS):

    include: "workflow/rules/captions.smk"


include: "workflow/rules/corpora.smk"
include: "workflow/rules/lmm.smk"
include: "workflow/rules/benchmarks.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/tracking.smk"


# The table, and all that is told beside it.
rule all:
    default_target: True
    input:
        rules.all_benchmarks.input,
        rules.all_report.input,
        rules.all_tracking.input,
