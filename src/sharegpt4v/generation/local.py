"""The generation engine: greedy answers to prompts with or without an image, in batches of like shape.

It writes the captions of the pre-training corpus (paper section 3.3) and the answers to the benchmarks (section 5.1).
An answer is the same in a batch as alone: shorter prompts are padded on the left, and the padding is masked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image

from sharegpt4v.config.generation import Generation
from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Answer, Engine, Request, plain
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.models.decoding import end_ids
from sharegpt4v.models.device import choose_device
from sharegpt4v.models.family import family_named, name_in
from sharegpt4v.models.loading import refused_in_one_line

PROMPT_STEP = 8  # prompts are padded to a multiple of this: the first step with a new shape is a slow one
DECODERS = 4


class Generator(Engine):
    """A loaded model that answers requests: bfloat16 on a GPU, float32 on the CPU."""

    def __init__(self, model: Path, batch_size: int = 16) -> None:
        """Load the transformers folder `model`, and try it; `UserError` when there is none that can answer."""
        if not (model / "config.json").is_file():
            raise UserError(f"{model}: no config.json; expected the folder of a model as transformers saves it")
        self.batch_size, self.device = batch_size, choose_device()
        self.family = family_named(name_in(model))
        loaded, processor = self.family.load(model, self.device)
        with refused_in_one_line(model):
            dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
            self.model = loaded.to(self.device, dtype).eval()
            self.processor, self.tokenizer = processor, processor.tokenizer
            self.image_tokens = self.family.image_tokens(loaded.config)
            pads = getattr(processor.image_processor, "do_pad", True)
            self.image_aspect_ratio = "pad" if pads else "square"
            ways = ("pad", "square")
            self.images = {way: self.family.images_by(processor, loaded.config, way) for way in ways}
            never = loaded.generation_config.suppress_tokens or []
            self.never = torch.tensor(never, dtype=torch.long, device=self.device)
            self.ends = end_ids(loaded.generation_config)
            self.penalty = float(loaded.generation_config.repetition_penalty or 1)
            self._answer_batch([Request("", b"", 1)], [self.images["pad"].blank()])
            self._answer_batch([Request("", None, 1)], [])

    @classmethod
    def start(cls, model: Path | None, settings: Generation, work: Path) -> Self:
        """Load the model, to answer `settings.batch_size` requests at a time."""
        if model is None:
            raise UserError("engine 'local' loads a checkpoint: expected its folder, --model")
        return cls(model, settings.batch_size)

    @classmethod
    def about(cls, settings: Generation) -> dict[str, Any]:
        """The size of a batch may decide where a GPU's rounding leaves two tokens nearly equal."""
        return {"engine": settings.engine, "batch_size": settings.batch_size, "torch": torch.__version__}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Answer in batches, the longest requests first."""
        with ThreadPoolExecutor(DECODERS) as pool:
            for batch, prepared in self._decoded_ahead(pool, requests, self._batches(requests)):
                readable = []
                for index in batch:
                    error = prepared[index].exception() if index in prepared else None
                    if error is None:
                        readable.append(index)
                    else:
                        yield index, Answer("", "stop", f"the image cannot be decoded ({error})")
                if not readable:
                    continue
                images = [prepared[index].result() for index in readable if index in prepared]
                answers = self._answer_batch([requests[index] for index in readable], images)
                yield from zip(readable, answers, strict=True)

    def _batches(self, requests: Sequence[Request]) -> list[list[int]]:
        """Deal the indices of the requests into batches that are alike in image, limit and length; longest first."""
        lengths = [len(self._ids(request)) for request in requests]
        batches = []
        for with_image in (True, False):
            group = [index for index, request in enumerate(requests) if (request.image is not None) == with_image]
            group.sort(key=lambda index: (requests[index].max_new_tokens, lengths[index]), reverse=True)
            batches += [group[start : start + self.batch_size] for start in range(0, len(group), self.batch_size)]
        return batches

    def _decoded_ahead(
        self, pool: ThreadPoolExecutor, requests: Sequence[Request], batches: Sequence[list[int]]
    ) -> Iterator[tuple[list[int], dict[int, Future[Image.Image]]]]:
        """Yield each batch with its images by index, while the images of the next one are being decoded."""

        def submit(batch: list[int]) -> dict[int, Future[Image.Image]]:
            return {
                index: pool.submit(self._prepared, requests[index])
                for index in batch
                if requests[index].image is not None
            }

        upcoming = submit(batches[0]) if batches else {}
        for number, batch in enumerate(batches):
            current = upcoming
            upcoming = submit(batches[number + 1]) if number + 1 < len(batches) else {}
            yield batch, current

    def _prepared(self, request: Request) -> Image.Image:
        assert request.image is not None
        return self.images[request.image_aspect_ratio].prepare(open_rgb(request.image, request.upright))

    def _ids(self, request: Request) -> list[int]:
        """Return the ids of a prompt, an image's mark once if the ids that it becomes depend on the image's size."""
        has_image = request.image is not None
        return self.family.prompt_ids(self.tokenizer, request.question, has_image, request.system, self.image_tokens)

    @torch.inference_mode()
    def _answer_batch(self, requests: Sequence[Request], images: Sequence[Image.Image]) -> list[Answer]:
        """Continue prompts that all have an image, or all have none."""
        prompts = [self._ids(request) for request in requests]
        if images and self.family.by_size:
            prompts = [self._with_visual_ids(ids, image) for ids, image in zip(prompts, images, strict=True)]
        width = PROMPT_STEP * math.ceil(max(map(len, prompts)) / PROMPT_STEP)
        ids = torch.full((len(prompts), width), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        inputs = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        if images:
            tensors = self.images["pad"].tensors(images)  # prepared already, each in its own way
            inputs |= {name: self._moved(tensor) for name, tensor in tensors.items()}
        limits = [request.max_new_tokens for request in requests]
        written = self.family.generate(self.model, self.processor, inputs, limits) or self._continue(inputs, limits)
        return [self._read(ids) for ids in written]

    def _with_visual_ids(self, ids: list[int], image: Image.Image) -> list[int]:
        """Put the ids of an image in the place of its mark."""
        place = ids.index(self.family.image_id(self.tokenizer))
        return [*ids[:place], *self.family.visual_ids(self.processor, image.size), *ids[place + 1 :]]

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        """Move what is made of images to the model: pixels in its precision, masks and sizes as they are."""
        return tensor.to(self.device, self.model.dtype if tensor.is_floating_point() else tensor.dtype)

    def _continue(self, inputs: dict[str, torch.Tensor], limits: Sequence[int]) -> list[list[int]]:
        """Return the new ids of each row, up to its end mark or its limit: the most likely one at every step.

        As `model.generate` does it, never the `suppress_tokens` of the checkpoint's generation settings; but rows that
        have ended leave the batch, so that the longest answer does not keep all others. They leave a quarter of the
        batch at a time, as the cache is copied when they do. A `repetition_penalty` of the settings is on the new ids
        alone, as where a prompt is embeddings.
        """
        from transformers import DynamicCache, RepetitionPenaltyLogitsProcessor

        written: list[list[int]] = [[] for _ in limits]
        rows, unfinished = list(range(len(limits))), set(range(len(limits)))
        mask, cache = inputs["attention_mask"], DynamicCache(config=self.model.config.get_text_config())
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        past = mask[:, :0]  # the new ids of each row
        while True:
            logits = self.model(
                **inputs, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
            ).logits
            scores = logits[:, -1].index_fill(-1, self.never, -math.inf)
            if self.penalty != 1:
                scores = RepetitionPenaltyLogitsProcessor(self.penalty)(past, scores)
            ids = scores.argmax(-1)
            if self.penalty != 1:
                past = torch.cat([past, ids[:, None]], dim=1)
            for row, new in zip(rows, ids.tolist(), strict=True):
                if row in unfinished:
                    written[row].append(new)
                    if self._is_end(new) or len(written[row]) == limits[row]:
                        unfinished.discard(row)
            if not unfinished:
                return written
            positions = positions[:, -1:] + 1
            if len(unfinished) <= 0.75 * len(rows):
                keep = torch.tensor([place for place, row in enumerate(rows) if row in unfinished], device=self.device)
                rows = [row for row in rows if row in unfinished]
                ids, mask, positions, past = ids[keep], mask[keep], positions[keep], past[keep]
                cache.batch_select_indices(keep)
            mask = torch.nn.functional.pad(mask, (0, 1), value=1)
            inputs = {"input_ids": ids[:, None], "attention_mask": mask}

    def _is_end(self, new: int) -> bool:
        return new == self.tokenizer.eos_token_id or new in self.ends

    def _read(self, ids: list[int]) -> Answer:
        """Turn the new ids of one row into text."""
        finished = self._is_end(ids[-1])
        text = self.tokenizer.decode(ids[:-1] if finished else ids, skip_special_tokens=True)
        return Answer(plain(text), "stop" if finished else "length")


ENGINE = Generator
