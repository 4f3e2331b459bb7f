"""A training stage: from a start and rows to a checkpoint (paper sections 3.3, 4.2 and 4.3).

Alignment, the captioner, pre-training and fine-tuning are this one function with different recipes. A stage that was
killed continues from its last saved state when it is called again, and ends with the same weights.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sharegpt4v import layout
from sharegpt4v.code_hash import code_of
from sharegpt4v.config import Config
from sharegpt4v.config.base_models import Projector
from sharegpt4v.config.compute import SINGLE_PROCESS, Compute
from sharegpt4v.config.tracking import Tracking
from sharegpt4v.config.training import Recipe
from sharegpt4v.files import write_bytes, write_json
from sharegpt4v.folders import new_folder
from sharegpt4v.follower import Follower, training_key
from sharegpt4v.images.usable import Usable, usable_images
from sharegpt4v.ledger import key_of
from sharegpt4v.locking import WriterLock
from sharegpt4v.miniature import is_miniature, record_of
from sharegpt4v.models.device import choose_device
from sharegpt4v.models.family import DEFAULT, Family, Row, code_root, family_named, name_in
from sharegpt4v.provenance import provenance
from sharegpt4v.training.adapters import add_adapters, merge_adapters
from sharegpt4v.training.attention import set_attention
from sharegpt4v.training.batch_images import BatchImages
from sharegpt4v.training.launch import all_ranks
from sharegpt4v.training.meter import LEFT_OUT, METRICS, SPEEDS, Records
from sharegpt4v.training.ranks import SINGLE_RANK, Ranks
from sharegpt4v.training.rows import read_rows, tokenise, with_visual_ids
from sharegpt4v.training.run import train
from sharegpt4v.training.samples import Samples, Tally, write_samples
from sharegpt4v.training.start import joined, load_start


def train_here(
    config: Config,
    stage: str,
    recipe: Recipe,
    start: Path | tuple[Path, Path],
    rows: Path | Sequence[Row],
    out: Path,
    images: Path = layout.DATA,
    projector: Projector = "mlp2x_gelu",
) -> None:
    """Train as `train_stage` does, in the folder of a run: with the config's processes, seed and usable images.

    `images` is the folder that rows name images in. The process may be replaced by those that train together.
    """
    ranks = all_ranks(config.compute)
    family = DEFAULT if isinstance(start, tuple) else name_in(start)
    train_stage(
        start,
        rows,
        images,
        out,
        recipe,
        config.seed,
        layout.work_of(stage, code_of(f"stages.{stage}", code_root(family))),
        stage,
        ranks,
        config.compute,
        images=usable_images(config, images),
        speeds=layout.speeds_of(out),
        projector=projector,
        tracking=config.tracking,
        drawn=is_miniature(config),
    )


def train_stage(
    start: Path | tuple[Path, Path],
    rows: Path | Sequence[Row],
    data: Path,
    out: Path,
    recipe: Recipe,
    seed: int,
    work: Path,
    stage_name: str,
    ranks: Ranks = SINGLE_RANK,
    compute: Compute = SINGLE_PROCESS,
    images: Usable | None = None,
    speeds: Path | None = None,
    projector: Projector = "mlp2x_gelu",
    tracking: Tracking | None = None,
    drawn: bool = False,
) -> None:
    """Train by `recipe` and write the transformers folder `out`, with `metrics.jsonl` and `provenance.json` in it.

    How fast each step was is no part of `out`, which is equal when the same is trained again: it goes to the JSON-lines
    file `speeds`. The tracker of `tracking` shows both while the training runs. That the images are `drawn` scenes is
    recorded for `of_miniature`, as it is when a start is of the miniature.

    `start` is a checkpoint, or a vision tower and a language model to be joined by a new `projector`. `rows` is a LLaVA
    JSON, or its rows; their images are below `data`. The state to resume from, and the rows tokenised, are in
    `<work>/<fingerprint>` until `out` is there; it has one writer (`UserError` for a second run). `UserError` for a row
    that is malformed or lacks its image, unless `images` leaves that out. An image that breaks later is left out by the
    same policy, and counted in those two files. All of several processes call this alike, and the first one reads the
    rows and writes; how the work is divided, `compute`, does not change what comes out.
    """
    images = images or Usable(data)
    name = DEFAULT if isinstance(start, tuple) else name_in(start)
    family = family_named(name)
    starts = start if isinstance(start, tuple) else (start,)
    about = ranks.broadcast_from_rank0(
        lambda: _provenance(start, projector, rows, recipe, seed, stage_name, name) | record_of(drawn, starts)
    )
    state = work / key_of(about["stage"], about["seed"], about["config"], about["inputs"], sorted(images.bad))
    with ExitStack() as held:
        ranks.broadcast_from_rank0(lambda: held.enter_context(WriterLock(state)).path)
        followed = held.enter_context(ExitStack())
        if ranks.rank == 0:
            told = str(out), stage_name, training_key(out, about), [state / METRICS, state / SPEEDS]
            followed.enter_context(Follower(tracking, *told))
        device = choose_device()
        if isinstance(start, tuple):
            start = ranks.broadcast_from_rank0(partial(joined, state, family, start, projector, seed))
        model, processor = load_start(family, start, device, recipe, compute, ranks)
        processor = family.trained_processor(model.config, processor, recipe.image_aspect_ratio)

        def store() -> Path:
            read = (row for _, row in read_rows(rows, data, stage_name, images))
            return _tokenised(state, read, family, model.config, processor, recipe, stage_name, images)

        samples = Samples(ranks.broadcast_from_rank0(store), data)
        family.set_trainable(model, recipe.train_llm, recipe.train_projector, recipe.tune_vit_from_layer)
        if with_adapters := recipe.lora is not None and recipe.train_llm:
            add_adapters(model, family, recipe, seed)
        set_attention(model, compute.attention, device, recipe.precision)
        if compute.recompute_activations:
            model.activation_checkpointing_enable()
        inputs = family.images_by(processor, model.config, recipe.image_aspect_ratio)
        batch_images = BatchImages(samples.images, inputs, leaves_out=images.missing != "fail")
        with Records(state) as records:
            pad, what = processor.tokenizer.pad_token_id, str(out)
            image_tokens = samples.image_tokens
            read = math.ceil(len(samples) * recipe.epochs)

            def record(row: Mapping[str, float]) -> None:
                records.log(row)
                if LEFT_OUT in row:
                    lost = records.left_out()
                    said = f"{stage_name}: {lost:,} of {read:,} samples have an image that has broken since"
                    images.check(said, lost, read)

            train(
                model,
                samples,
                recipe,
                seed,
                state,
                what,
                batch_images,
                pad,
                record,
                ranks,
                compute,
                image_tokens,
                device,
            )
        followed.close()  # it reads the records, which go with the state
        if ranks.rank:
            return
        if left_out := records.left_out():
            samples.rows["left_out"]["an image that broke after its source was fetched"] = left_out
        if with_adapters:
            merge_adapters(model)
        if recipe.precision == "bfloat16":
            model.to(torch.bfloat16)
        with new_folder(out) as folder:
            family.save(model, processor, folder)
            shutil.copy(state / METRICS, folder)
            write_json(folder / "provenance.json", about | {"rows": samples.rows})
        if speeds:
            write_bytes(speeds, (state / SPEEDS).read_bytes())
        shutil.rmtree(state)


def _tokenised(
    state: Path,
    rows: Iterable[Row],
    family: Family,
    config: Any,
    processor: Any,
    recipe: Recipe,
    stage_name: str,
    images: Usable,
) -> Path:
    """Return the folder of the tokenised rows in `state`; what an earlier try wrote there is used."""
    folder, tally, tokenizer = state / "samples", Tally(), processor.tokenizer
    if not folder.exists():
        tokens = tokenise(rows, family, tokenizer, recipe.template, recipe.sequence_length, stage_name, tally)
        if family.by_size:
            tokens = with_visual_ids(tokens, partial(family.visual_ids, processor), images, stage_name, tally)
        write_samples(folder, tokens, family.image_id(tokenizer), family.image_tokens(config), tally)
        if tally.cut or tally.left_out:
            print(f"{stage_name}: {tally} (longest: {recipe.sequence_length:,} tokens)", file=sys.stderr)
    return folder


def _provenance(
    start: Path | tuple[Path, Path],
    projector: Projector,
    rows: Path | Sequence[Row],
    recipe: Recipe,
    seed: int,
    stage_name: str,
    family: str,
) -> dict[str, Any]:
    """Rows that are given directly count by their content, as a file of them would; how often to save does not."""
    settings = recipe.model_dump(mode="json", exclude={"checkpoint_minutes"})
    inputs = list(start) if isinstance(start, tuple) else [start]
    if isinstance(start, tuple):
        settings["projector"] = projector
    if isinstance(rows, Path):
        inputs.append(rows)
    else:
        settings["rows"] = key_of([dict(row) for row in rows])
    return provenance(stage_name, settings, seed, inputs, __name__, code_root(family))
