"""Where everything lies: the paths that the rules and the verbs agree on.

What a run reads and makes is relative to the folder it is started in, so that two runs are two folders. What comes with
the project (texts, tables, the environment of img2dataset) is taken from the project's own folder, wherever a run is.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sharegpt4v.errors import UserError
from sharegpt4v.files import sidecar
from sharegpt4v.ledger import key_of
from sharegpt4v.project import DEFAULT_CONFIG as DEFAULT_CONFIG
from sharegpt4v.project import PROJECT as PROJECT
from sharegpt4v.project import of_project as of_project

if TYPE_CHECKING:
    from sharegpt4v.catalogues.sources import Source
    from sharegpt4v.config import Config
    from sharegpt4v.config.base_models import PublishedModel

DATA = Path("data")
WORK = Path(".work")
JOB_LIST = WORK / "jobs.json"
RUN_CONFIG = WORK / "config.json"  # that of the run in this folder, every key resolved
REVIEWED = Path("reviewed.jsonl")  # verdicts of people about captions
WORLD = DATA / "mini" / "world"
SCENES = DATA / "mini" / "scenes.jsonl"
SHORT_CAPTIONS = DATA / "llava" / "llava_pretrain" / "blip_laion_cc_sbu_558k.json"
SHORT_CAPTION_IMAGES = DATA / "llava" / "llava_pretrain" / "images"
COCO_CAPTIONS = DATA / "coco" / "annotations" / "captions_train2017.json"
DETAIL_CAPTIONS = DATA / "sharegpt4v" / "detail_23k.json"
SEED_CAPTIONS = DATA / "sharegpt4v" / "sharegpt4v_instruct_gpt4-vision_cap100k.json"
PRETRAINING_CORPUS = DATA / "sharegpt4v" / "share-captioner_coco_lcs_sam_1246k_1107.json"
FINETUNING_MIX = DATA / "sharegpt4v" / "sharegpt4v_mix665k_cap23k_coco-ap9k_lcs3k_sam9k_div2k.json"
CAPTION_SHARDS = DATA / "captions"
CAPTION_SETS = ("coco", "short", "detail", "seed", "pretraining")
PAPER_MIX = ("llava-665k", "all")
"""LLaVA-1.5's mix, with seed captions of all sources in place of its detail captions (section 4.3)."""

CHECKPOINTS = Path("checkpoints")
TOWER = Path("checkpoints/base/vision-tower")
TOKENIZER = Path("checkpoints/base/tokenizer")
CAPTIONER = Path("checkpoints/captioner")
PUBLISHED = Path("checkpoints/published")
LOGS = Path("logs")
JOBS = LOGS / "jobs"
TIMINGS = LOGS / "benchmarks"  # of Snakemake: seconds and memory of each job
RESULTS = Path("results")
ABLATIONS = "ablations"  # the folder of what only these have: below checkpoints/, data/, answers, scores
ABLATION_SHARDS = DATA / ABLATIONS / "captions"
ABOUT_RESULTS = RESULTS / "README.md"
TABLE = RESULTS / "table.csv"
MORE_TABLE = RESULTS / "table_more.csv"
SUBSTITUTION = RESULTS / "substitution.csv"
SUBSTITUTION_ERRORS = RESULTS / "substitution_errors.csv"
ABLATION_TABLE = RESULTS / "ablations.csv"
ABLATION_MEMORY = RESULTS / "ablations_memory.csv"  # differs from run to run
DATASETS = RESULTS / "datasets.csv"
PREFERENCE = RESULTS / "preference.csv"
CAPTION_QUALITY = RESULTS / "caption_quality.csv"
SUBMISSIONS = RESULTS / "submissions"
ANSWERS = RESULTS / "answers"
SCORES = RESULTS / "scores"
JUDGED = RESULTS / "judged"
CURVES = RESULTS / "curves.csv"
MIXTURE = RESULTS / "mixture.csv"
CELLS = RESULTS / "scores.csv"
REPORT = RESULTS / "report.html"
TRACKED = RESULTS / "tracked.txt"
MLFLOW_RUNS = RESULTS / "mlflow_runs.json"


def work_of(stage: str, *parts: str) -> Path:
    """Where a stage keeps unfinished work; `parts` is what that work would be worthless without, such as its code."""
    return WORK / stage / key_of(*parts)


def log_of(stage: str, item: str = "") -> str:
    """The log of a job of a stage."""
    return (LOGS / stage / item).as_posix() + ".log"


def timing_of(stage: str, item: str = "") -> str:
    """Seconds and memory of a job of a stage, as Snakemake's `benchmark` writes them."""
    return (TIMINGS / stage / item).as_posix() + ".tsv"


def manifest(source: str, data: Path = DATA) -> Path:
    """The images of a source, or its annotation files: path, hash, status."""
    return data / "manifests" / f"{source}.parquet"


def base_name(size: str) -> str:
    """What the language model of a size, before any multi-modal training, is called among answers and scores."""
    return f"base/llm-{size}"


def weights(checkpoint: Path) -> Path:
    """The file that says that a checkpoint is complete; of a published one, whose weights may be several files, that
    with their hashes."""
    return checkpoint / ("provenance.json" if PUBLISHED in checkpoint.parents else "model.safetensors")


def llm(size: str) -> Path:
    """The language model of a size."""
    return Path("checkpoints/base") / f"llm-{size}"


def aligned(size: str) -> Path:
    """The multi-modal model of a size whose projector speaks to its language model."""
    return Path("checkpoints/aligned") / size


def ablation_captioner(name: str) -> Path:
    """A captioner that only ablations have."""
    return CHECKPOINTS / ABLATIONS / "captioners" / name


def pretrained(name: str) -> Path:
    """A multi-modal model after pre-training on captions, which models share; `name` is a size, or an ablation's."""
    return Path("checkpoints/pretrained") / name


def finetuned(model: str) -> Path:
    """A model that is fine-tuned here, a row of the results table."""
    return Path("checkpoints") / model / "finetuned"


def published(model: PublishedModel) -> Path:
    """A published model in the project's layout; runs share it."""
    name = re.sub(r"[^\w.-]+", "--", model.id.strip("/"))
    return PUBLISHED / (f"{name}@{model.revision[:7]}" if model.revision else name)


def speeds_of(checkpoint: Path) -> Path:
    """How fast each step of a training was; that differs from time to time, so it is among the logs."""
    inside = checkpoint.relative_to(CHECKPOINTS) if checkpoint.is_relative_to(CHECKPOINTS) else checkpoint
    return LOGS / "speeds" / f"{inside.as_posix().strip('/').replace('/', '-')}.jsonl"


def corpus(mix: str, substitution: str) -> Path:
    """An instruction mix whose detail captions were replaced; the paper's own has the name it was published under."""
    return FINETUNING_MIX if (mix, substitution) == PAPER_MIX else corpus_named(f"{mix}+{substitution}")


def corpus_named(name: str) -> Path:
    """A corpus by the name of its file, without .json."""
    return DATA / "sharegpt4v" / f"{name}.json"


def ablation_corpus(name: str) -> Path:
    """Captions, or an instruction mix, that only ablations learn from."""
    return DATA / "sharegpt4v" / ABLATIONS / f"{name}.json"


def rewritten(mix: Path) -> Path:
    """An instruction mix in which the captioner's captions replace the teacher's, for ablations."""
    return ablation_corpus(f"{mix.stem}_captioner")


def substituted(config: Config) -> dict[str, tuple[str, str]]:
    """Return mix and substitution of what can be made by substitution, by the name of its file, without .json."""
    made = [(mix, substitution) for mix in config.corpora.instruction_mixes for substitution in ("coco", "all")]
    return {corpus(*one).stem: one for one in made}


def caption_provenance(shard: str) -> Path:
    """Return the file that says what the captions of a shard were made of, and by what."""
    return sidecar(caption_shard(shard), "provenance.json")


def caption_shard(shard: str) -> Path:
    """The captions of a shard such as `00000-of-00002`, or of one by an ablation's captioner: NAME/00000-of-00002."""
    return (ABLATION_SHARDS if "/" in shard else CAPTION_SHARDS) / f"{shard}.jsonl"


def benchmark_folder(config: Config, benchmark: str) -> Path:
    """The official files of a benchmark."""
    from sharegpt4v.catalogues.benchmarks import benchmark_named

    return config.benchmarks.root / benchmark_named(benchmark).folder


def caption_statistics(name: str) -> Path:
    """What the captions of one of `CAPTION_SETS` are like, per source."""
    return RESULTS / "captions" / f"{name}.csv"


def figure(name: str, kind: Literal["svg", "png"] = "svg") -> Path:
    """The figure of a table of the results; as PNG it is for slides."""
    return RESULTS / "figures" / f"{name}.{kind}"


def model_card(name: str) -> Path:
    """The card of a checkpoint, by its name in `lineage.checkpoints`."""
    return RESULTS / "cards" / "models" / f"{name.replace(' ', '-')}.md"


def data_card(name: str) -> Path:
    """The card of a caption set or a corpus, by its name in `lineage.data_sets`."""
    return RESULTS / "cards" / "data" / f"{name}.md"


def table_page(name: str) -> Path:
    """A table of the results as a page to read."""
    return RESULTS / "tables" / f"{name}.html"


def metrics_of(model: str) -> Path:
    """The scores of a model as `dvc metrics` reads them."""
    return RESULTS / "metrics" / f"{model}.json"


def file_source(config: Config, path: Path) -> str:
    """Return what says that a file below data/ is there: the manifest of its source, or itself when none brings it."""
    for name, source in sources(config).items():
        if DATA / source.folder == path:
            return str(manifest(name))
    return str(path)


def is_provided(config: Config, path: Path) -> bool:
    """Whether the stage that makes a file is taken from others and not made here: a source of the config brings it."""
    return file_source(config, path) != str(path)


def config_here() -> Path:
    """Return the config that a command without one takes: that of the run in this folder, else the miniature's."""
    return RUN_CONFIG if RUN_CONFIG.exists() else DEFAULT_CONFIG


def require_folders(config: Config) -> None:
    """Raise a `UserError` when one of the user's own folders is not there."""
    for name, folder in config.sources.folder_sources.items():
        if not folder.expanduser().is_dir():
            raise UserError(f"sources.folder_sources.{name}: {folder}: no such folder; expected one with images")


def sources(config: Config) -> dict[str, Source]:
    """Return the sources of a run by name: the rows of the catalogue that it uses, then the user's own folders."""
    from sharegpt4v.catalogues.sources import Download, Source, read_catalogue

    path = of_project(config.sources.catalogue)
    catalogue = read_catalogue(path)
    for name in config.sources.use:
        if name not in catalogue:
            raise UserError(f"{path}: no source {name!r}; expected a row for every name in sources.use")
    by_hand = {name: replace(catalogue[name], kind="placed") for name in config.sources.placed}
    return (
        {name: catalogue[name] for name in config.sources.use}
        | by_hand
        | {
            name: Source(
                name, "folder", f"{name}/images", (Download(str(folder)),), licence="not stated; your own images"
            )
            for name, folder in config.sources.folder_sources.items()
        }
    )
