"""The memory that a training takes at most: of each device, and of the host of a node (paper section 4: 16 x 80 GB).

Counted from the sizes of the model, the recipe and the section `compute`, without making anything. What is counted:

- the model: weights, gradients, the optimiser's float32 weights and moments, whole or divided by ZeRO;
- what a block of the Llama or of the tower keeps for its backward pass: of all blocks, or, where activations are
  recomputed, the input of each and all of one block at a time;
- the vocabulary's scores at the supervised positions.

Activations come to a peak when the forward pass has ended, and again when the backward pass has nearly all gradients.
Where a step takes several passes, those of the earlier ones are there the whole time.
The numbers of bytes per token and width are those of transformers' Llama and CLIP; tests/plan/test_memory.py compares
them with measured peaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sharegpt4v.config.base_models import BaseModels, Transformer
from sharegpt4v.config.compute import Compute
from sharegpt4v.config.training import Recipe
from sharegpt4v.models.llava_flops import all_weights, llm_weights, trained_blocks, trained_weights, visual_tokens

MOMENTS = {"adamw": 8, "adamw_8bit": 2}  # bytes per trained weight: two of AdamW's
OFFLOADED = {2: 22, 3: 20}  # bytes per trained weight on the host, with the optimiser: counted in DeepSpeed 0.19.8
MASTER, GRADIENT = 4, 4  # bytes per trained weight: the float32 weight itself, and the gradients summed up
SNAPSHOT = 12  # bytes per trained weight: the state on its way to the disk, see `training.state.snapshot`
SCORES = 16  # bytes per supervised token and word: scores in half and float32, their logarithms, their gradient
ADAM_TEMPORARY = 8  # bytes per weight of the largest matrix, while it is stepped
LIVE = 10**9  # weights that ZeRO-3 keeps gathered, and steps at a time, at most (the released zero3.json)
BUCKET = 2 * 5 * 10**8  # gradients on their way to other processes or the host: two of DeepSpeed's buckets
LOADED, PROCESS = 1.2, 25 * 10**8  # of a checkpoint's bytes per node, and bytes per process with its libraries


@dataclass(frozen=True)
class Precision:
    """Bytes of a block's activations: per token and unit of width kept (`hidden`, `mlp`) and for a while beside them
    (`hidden_beside`, `mlp_beside`), of the residual stream, and of an attention mask's cell."""

    weight: int
    hidden: int
    mlp: int
    hidden_beside: int
    mlp_beside: int
    residual: int
    mask: int


FLOAT32 = Precision(weight=4, hidden=48, mlp=16, hidden_beside=4, mlp_beside=4, residual=4, mask=4)
AUTOCAST = Precision(weight=4, hidden=40, mlp=8, hidden_beside=4, mlp_beside=1, residual=4, mask=2)
BFLOAT16 = Precision(weight=2, hidden=28, mlp=8, hidden_beside=2, mlp_beside=2, residual=2, mask=2)
"""With bfloat16 weights, as DeepSpeed takes its steps; by the same count as the others, which alone are measured."""


@dataclass(frozen=True)
class Pass:
    """What goes through the model at once: tokens with the visual ones and padding, images, supervised tokens.

    `masked` is whether attention has a mask of all pairs of tokens, as torch's `sdpa` of packed samples does; `alone`,
    whether it is the only pass of its step.
    """

    tokens: int
    images: int
    supervised: int
    masked: bool
    alone: bool

    @classmethod
    def largest(cls, models: BaseModels, recipe: Recipe, compute: Compute, text_tokens: float, masked: bool) -> Pass:
        """Return the largest pass of a recipe whose rows have an image and `text_tokens` of text, all supervised."""
        visual = visual_tokens(models.vision_tower)
        row = recipe.sequence_length - 1 + visual
        samples = math.ceil(recipe.batch_size / compute.processes)
        whole = samples * (row if recipe.batch_of == "rows" else math.ceil(visual + text_tokens))
        tokens = min(whole, compute.rows_at_once * row) if compute.rows_at_once else whole
        images = math.ceil(tokens / (visual + text_tokens))
        return cls(tokens, images, math.ceil(images * text_tokens), masked, alone=tokens == whole)


@dataclass(frozen=True)
class Memory:
    """Bytes: of one device, and of the memory of one node, where its processes load and save.

    `activations` are what the peak has beside the other three.
    """

    weights: float
    gradients: float
    optimiser: float
    activations: float
    host: float

    @property
    def device(self) -> float:
        """The most that one device holds."""
        return self.weights + self.gradients + self.optimiser + self.activations


def training_memory(models: BaseModels, size: str, recipe: Recipe, compute: Compute, one: Pass) -> Memory:
    """Return what a training of the model of a size takes at most, in passes of `one`."""
    total, trained = all_weights(models, size), trained_weights(models, size, recipe)
    divided = compute.processes > 1 or compute.offload_optimiser
    half = recipe.precision == "bfloat16"
    kind = (BFLOAT16 if divided else AUTOCAST) if half else FLOAT32
    weights: float = kind.weight * total
    gradients, optimiser = GRADIENT * trained, MOMENTS[compute.optimiser] * trained
    if divided:
        parts = compute.processes
        gradients = GRADIENT * trained / parts
        optimiser = (MASTER + MOMENTS["adamw"]) * trained / parts
        if compute.zero_stage == 3:  # its step copies the gradients of so many weights at a time
            weights = weights / parts + kind.weight * min(LIVE, total)
            optimiser += GRADIENT * min(LIVE, trained / parts)
        else:
            gradients += kind.weight * min(BUCKET, trained)
    if compute.offload_optimiser:
        optimiser = 0.0
        if compute.zero_stage == 3:  # gradients are summed up on the host too
            gradients = kind.weight * min(BUCKET, trained)
    earlier = 0.0 if one.alone and not divided else gradients  # DeepSpeed has room for all from the start
    activations = _activations(models, size, recipe, compute, one, kind, gradients, earlier)
    return Memory(weights, gradients, optimiser, activations, host_bytes(total, trained, compute))


def host_bytes(total: float, trained: float, compute: Compute) -> float:
    """Return the bytes of a node's memory for a model of `total` weights, `trained` ones among them."""
    kept = SNAPSHOT + OFFLOADED[compute.zero_stage] * compute.offload_optimiser
    return LOADED * 2 * total + PROCESS * compute.processes_per_node + kept * trained / compute.nodes


def _activations(
    models: BaseModels,
    size: str,
    recipe: Recipe,
    compute: Compute,
    one: Pass,
    kind: Precision,
    gradients: float,
    earlier: float,
) -> float:
    """What there is beside the model and its `gradients` at the peak; the forward pass has `earlier` ones."""
    llm, tower = models.llm[size], models.vision_tower
    blocks = trained_blocks(tower, recipe.tune_vit_from_layer)
    patches = one.images * (visual_tokens(tower) + 1)
    recomputes = compute.recompute_activations
    pairs = one.tokens**2 if one.masked else 0
    kept, block = _blocks(llm, llm.layers, one.tokens, recomputes, kind)
    masks = pairs * (1 + kind.mask * (1 if recomputes else llm.layers))
    kept_of_tower, block_of_tower = _blocks(tower, blocks, patches, recomputes, kind)
    inputs = 2 * kind.residual * one.tokens * llm.hidden_size
    scores = SCORES * one.supervised * models.tokenizer.vocabulary
    beside = masks + inputs
    forward_ended = earlier + kept + max(scores, block) + beside + kept_of_tower
    llm_ended = gradients + block + beside + kept_of_tower
    tower_ended = gradients + (kept_of_tower + block_of_tower if blocks else 0)
    largest = ADAM_TEMPORARY * models.tokenizer.vocabulary * llm.hidden_size
    return max(forward_ended, llm_ended, tower_ended, gradients + largest) - gradients


def _blocks(size: Transformer, blocks: int, tokens: int, recomputes: bool, kind: Precision) -> tuple[float, float]:
    """Return what `blocks` blocks keep for so many tokens, and what one takes while its backward pass runs."""
    whole = tokens * (kind.hidden * size.hidden_size + kind.mlp * size.mlp_size)
    beside = tokens * (kind.hidden_beside * size.hidden_size + kind.mlp_beside * size.mlp_size)
    cast = 2 * llm_weights(size, 0) // size.layers if kind is AUTOCAST else 0  # weights in bfloat16
    if recomputes:
        return blocks * tokens * kind.residual * size.hidden_size, whole + beside + cast
    return blocks * (whole + cast), beside
