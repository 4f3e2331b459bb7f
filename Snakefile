"""ShareGPT4V from images to the results table: `snakemake results/table.csv`.

The rules are in workflow/rules, in the order of the pipeline. Each runs one stage of the table in pipeline/stages.py,
by `s4v stage`; its params hold the part of the config and the hash of the code that it depends on, so that a change
reruns what depends on it, and no more. Paths are those of `layout`.
"""

from re import escape

from snakemake.utils import min_version

from sharegpt4v import ablations, layout, lineage
from sharegpt4v.miniature import notice_of
from sharegpt4v.pipeline.ablation_targets import (
    captioner_of_shard,
    captioner_start_of,
    choice_inputs,
    one_of,
    pretraining_inputs,
    rewritten_inputs,
    scores_of_ablations,
)
from sharegpt4v.pipeline.failures import tell_failures
from sharegpt4v.pipeline.job_list import write_job_list
from sharegpt4v.pipeline.rerun import stage_params
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.pipeline.start import (
    begin,
    prepare_environment,
    read_config,
    require_official_files,
)
from sharegpt4v.pipeline.targets import (
    alignment_inputs,
    card_inputs,
    cards,
    corpora,
    evaluation_manifests,
    finetuning_inputs,
    llm_inputs,
    manifests,
    manifests_of,
    metrics,
    mix_file,
    mixes,
    model_weights,
    paired_models,
    per_benchmark,
    results_of,
    scores,
    shards,
    tables,
    tables_of,
    text_baseline_files,
    text_baselines,
    tower_inputs,
    trainings,
    world,
)
from sharegpt4v.plan.resources import StageResources, cluster_of

min_version("9.0")


# The environment is envs/core.lock (`make setup`); this names a system it is known to run on.
container: "docker://python:3.11-bookworm"


prepare_environment()
run = read_config(
    workflow.config_settings.configfiles,
    workflow.config_settings.config,
    workflow.output_settings.dryrun,
)

config["notice"] = notice_of(run)  # the first line of the captions in workflow/report


resources_of = StageResources(
    run, cluster_of(workflow.resource_settings.default_resources)
)


onstart:
    require_official_files(run, workflow.dag)
    begin(run)
    write_job_list(workflow.dag, log)


onerror:
    tell_failures(log)


wildcard_constraints:
    source="[^/]+",
    size="[^/]+",
    pretrained="[^/]+",
    model="[^/]+",
    published="[^/]+",
    shard=r"\d+-of-\d+",
    corpus="|".join(map(escape, layout.substituted(run))),


# Small jobs run on the submit host, and do not wait in a cluster's queue.
localrules:
    table,
    cells,
    substitution,
    mixture,
    figures,
    ablations,
    report,
    metrics,
    tracking,
    all,


# What needs the internet may run there too, if the nodes have none.
workflow.localrules(*resources_of.local_rules())


include: "workflow/rules/sources.smk"


# What a source provides as it was published is not made here.
if not layout.is_provided(run, layout.SEED_CAPTIONS):

    include: "workflow/rules/seed_captions.smk"


include: "workflow/rules/base_models.smk"
include: "workflow/rules/captioner.smk"
include: "workflow/rules/captions.smk"
include: "workflow/rules/corpora.smk"
include: "workflow/rules/lmm.smk"
include: "workflow/rules/benchmarks.smk"
include: "workflow/rules/ablations.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/tracking.smk"


# The table, and all that is reported with it.
rule all:
    default_target: True
    input:
        rules.all_benchmarks.input,
        rules.all_report.input,
        rules.all_tracking.input,
