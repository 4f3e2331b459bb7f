"""How the language model of a training computes attention: `compute.attention` (the paper's code: flash attention).

Samples that are packed into a row must not see each other. transformers 5 reads the borders between them from positions
that restart at 0, where there is no attention mask and no cache:

- sdpa, in `masking_utils`: a mask of length by length for each row, whatever the number of rows.
- flex, in `masking_utils`: the same borders as a block mask, so that blocks without a pair are skipped.
- flash, in `modeling_flash_attention_utils`: only for a batch of one row; several rows would leak without a word.
  Each layer looks for the borders anew and waits for the GPU to tell; `_with_borders` looks once per pass.

So for flex and flash all rows are laid out as one, see `one_row`. The vision tower stays with sdpa: it sees all of an
image and nothing else, and PyTorch's sdpa without a mask is flash attention by itself.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Literal

import torch

from sharegpt4v.errors import UserError, one_line

if TYPE_CHECKING:
    from sharegpt4v.training.packing import Batch

Kind = Literal["flash", "flex", "sdpa"]
IMPLEMENTATIONS: dict[Kind, str] = {"flash": "flash_attention_2", "flex": "flex_attention", "sdpa": "sdpa"}
"""The names that transformers has for them."""


def set_attention(model: Any, asked: Literal["auto"] | Kind, device: torch.device, precision: str) -> Kind:
    """Let the language model of `model` attend as `asked`; return the kind that is used.

    `auto` is flash, else flex, else sdpa on a GPU, and sdpa elsewhere. A kind that is asked for and cannot run, on this
    device, in the recipe's `precision` or with this model, is a `UserError`.
    """
    if asked != "auto":
        _set(model, asked, device, precision)
        return asked
    for kind in ("flash", "flex") if device.type == "cuda" else ():
        try:
            _set(model, kind, device, precision)
        except UserError:
            continue
        return kind
    _set(model, "sdpa", device, precision)
    return "sdpa"


def one_row(model: Any, batch: Batch) -> Batch:
    """Return the batch with all its rows in one, where the attention of `model` honours borders only so."""
    flat = _decoder(model).config._attn_implementation in (IMPLEMENTATIONS["flash"], IMPLEMENTATIONS["flex"])
    return batch.as_one_row() if flat else batch


def _set(model: Any, kind: Kind, device: torch.device, precision: str) -> None:
    if missing := _missing(kind, device, precision):
        raise UserError(f"compute.attention is {kind}, and {missing}; set it to auto")
    decoder = _decoder(model)
    if decoder.config._attn_implementation == IMPLEMENTATIONS[kind]:
        return
    try:
        decoder.set_attn_implementation(IMPLEMENTATIONS[kind])
    except (ValueError, ImportError) as error:
        name = type(decoder).__name__
        raise UserError(f"compute.attention is {kind}, and {name} cannot: {one_line(error)}; set it to auto") from None
    if kind == "flash" and _with_borders not in decoder._forward_pre_hooks.values():
        decoder.register_forward_pre_hook(_with_borders, with_kwargs=True)


def _missing(kind: Kind, device: torch.device, precision: str) -> str | None:
    """Say what a kind lacks here; None when nothing."""
    if kind == "sdpa":
        return None
    if device.type != "cuda":
        return f"{'flash-attn' if kind == 'flash' else 'flex attention'} has no backward pass on a {device.type}"
    if kind == "flash" and precision == "float32":
        return "flash-attn computes in half precision only, but the recipe's precision is float32"
    # Without it transformers would take a kernel from the hub.
    if kind == "flash" and importlib.util.find_spec("flash_attn") is None:
        return "flash_attn is not installed (pip install flash-attn --no-build-isolation)"
    return None


def _decoder(model: Any) -> Any:
    """Return the layers of the language model without its head, which is in between for some families."""
    return model.get_decoder().get_decoder()


def _with_borders(
    decoder: Any, args: tuple[Any, ...], inputs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Tell flash attention where samples begin and end, in a pass over one packed row.

    Positions have the shape (1, length), or (4, 1, length) for Qwen's, of which the first are those in the text.
    """
    if decoder.config._attn_implementation != IMPLEMENTATIONS["flash"]:
        return args, inputs
    positions = inputs["position_ids"]
    positions = positions[0] if positions.ndim == 3 else positions
    starts = (positions[0] == 0).nonzero().flatten()
    borders = torch.nn.functional.pad(starts, (0, 1), value=positions.shape[1]).int()
    longest = int(borders.diff().max())
    given = {"cu_seq_lens_q": borders, "cu_seq_lens_k": borders, "max_length_q": longest, "max_length_k": longest}
    return args, inputs | given
