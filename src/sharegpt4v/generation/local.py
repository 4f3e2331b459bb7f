"""The project's own generation engine: greedy answers to prompts with or without an image, many at a time.

It writes the captions of the pre-training corpus (paper section 3.3) and the answers to the benchmarks (section 5.1).
An answer is the same in a batch as alone. Where a row of the batch ends, the next request takes its place.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from PIL import Image

from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Answer, Engine, Request, plain
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.models.continuous_batching import ContinuousBatch, Greedy, Prompt
from sharegpt4v.models.decoding import end_ids
from sharegpt4v.models.device import choose_device
from sharegpt4v.models.family import family_named, name_in
from sharegpt4v.models.loading import refused_in_one_line
from sharegpt4v.models.whole_batch import WholeBatch

if TYPE_CHECKING:
    from sharegpt4v.config.generation import Generation

DECODERS = 4


class Generator(Engine):
    """A loaded model that answers requests: bfloat16 on a GPU, float32 on the CPU.

    It only fails on images that nobody can decode.
    """

    errors_may_pass = False

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
            self.prompt_ids = lru_cache(1)(self.family.prompt_ids)  # captions are all asked for in the same words
            pads = getattr(processor.image_processor, "do_pad", True)
            self.image_aspect_ratio = "pad" if pads else "square"
            ways = ("pad", "square")
            self.images = {way: self.family.images_by(processor, loaded.config, way) for way in ways}
            never = loaded.generation_config.suppress_tokens or []
            self.never = torch.tensor(never, dtype=torch.long, device=self.device)
            self.ends = end_ids(loaded.generation_config)
            self.penalty = float(loaded.generation_config.repetition_penalty or 1)
            for request, image in ((Request("", b"", 1), self.images["pad"].blank()), (Request("", None, 1), None)):
                prompt = self._prompt(0, request, image)
                list(self._continued(iter([prompt]), 1, len(prompt.ids) + 1))

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
        """Answer the requests with an image, then those without, the longest first; each as soon as it is finished."""
        sizes = [(request.max_new_tokens, len(self._ids(request))) for request in requests]
        with ThreadPoolExecutor(DECODERS) as pool:
            for with_image in (True, False):
                group = [index for index, request in enumerate(requests) if (request.image is not None) == with_image]
                if group:
                    group.sort(key=sizes.__getitem__, reverse=True)
                    longest = max(sum(sizes[index]) for index in group)
                    yield from self._continued(self._prompts(pool, requests, group), len(group), longest)

    def _prompts(
        self, pool: ThreadPoolExecutor, requests: Sequence[Request], group: Sequence[int]
    ) -> Iterator[Prompt | tuple[int, Answer]]:
        """Yield prompts in the order of `group`, or the answer where an image is broken.

        Meanwhile the images of the next `batch_size` requests are being decoded.
        """
        coming, ahead = iter(group), self.batch_size
        images: deque[Future[Image.Image | None]] = deque()
        for index in group:
            more = islice(coming, ahead + 1 - len(images))
            images += [pool.submit(self._prepared, requests[later]) for later in more]
            image = images.popleft()
            if error := image.exception():
                yield index, Answer("", "stop", f"the image cannot be decoded ({error})")
            else:
                yield self._prompt(index, requests[index], image.result())

    def _prepared(self, request: Request) -> Image.Image | None:
        if request.image is None:
            return None
        return self.images[request.image_aspect_ratio].prepare(open_rgb(request.image, request.upright))

    def _prompt(self, index: int, request: Request, image: Image.Image | None) -> Prompt:
        """Return what a model is to continue; where the size of an image says so, with as many visual ids."""
        ids = self._ids(request)
        if image is not None and self.family.by_size:
            place = ids.index(self.family.image_id(self.tokenizer))
            ids = [*ids[:place], *self.family.visual_ids(self.processor, image.size), *ids[place + 1 :]]
        return Prompt(index, ids, image, request.max_new_tokens)

    def _ids(self, request: Request) -> list[int]:
        """Return the ids of a prompt, an image's mark once if the ids that it becomes depend on the image's size."""
        has_image = request.image is not None
        return self.prompt_ids(self.tokenizer, request.question, has_image, request.system, self.image_tokens)

    def _continued(
        self, waiting: Iterator[Prompt | tuple[int, Answer]], count: int, longest: int
    ) -> Iterator[tuple[int, Answer]]:
        """Continue `count` prompts of at most `longest` tokens with their answers; pass on what is answered already.

        Where a GPU runs out of memory, a batch of half the size begins anew with the prompts that were not finished.
        """
        batch = self._batch(count, longest)
        while (taken := list(islice(waiting, batch.room))) or batch.prompts:
            yield from (one for one in taken if isinstance(one, tuple))
            try:
                finished = batch.advance([one for one in taken if isinstance(one, Prompt)])
            except torch.cuda.OutOfMemoryError:
                finished = None  # leave the block first: the error holds on to the tensors
            if finished is None:
                waiting = chain(batch.prompts, waiting)
                self._halve(batch.size)
                batch = self._batch(count, longest)
            else:
                yield from ((prompt.index, self._read(ids)) for prompt, ids in finished)

    def _batch(self, count: int, longest: int) -> ContinuousBatch | WholeBatch:
        """Return an empty batch for `count` prompts, which hold at most `longest` tokens with their answers."""
        size, pad = min(self.batch_size, count), self.tokenizer.pad_token_id
        if self.family.generates:
            return WholeBatch(
                partial(self.family.generate, self.model, self.processor), self.device, size, pad, self._tensors
            )
        greedy = Greedy(self.never, frozenset({self.tokenizer.eos_token_id, *self.ends}), self.penalty)
        return ContinuousBatch(self.model, size, longest, pad, self._tensors, greedy)

    def _halve(self, size: int) -> None:
        """Answer half of `size` requests at a time from now on, and say so."""
        if size == 1:
            raise UserError(
                f"{self.model.name_or_path}: the GPU has no memory for a single request beside the model; expected "
                "one with more memory, or a lower limit of new tokens"
            )
        self.batch_size = size // 2
        print(f"The GPU has no memory for {size} requests at a time; now {self.batch_size}.", file=sys.stderr)

    def _tensors(self, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """Return what the model takes of prepared images: pixels in its precision, masks and sizes as they are."""
        tensors = self.images["pad"].tensors(images)  # prepared already, each in its own way
        return {
            name: tensor.to(self.device, self.model.dtype if tensor.is_floating_point() else tensor.dtype)
            for name, tensor in tensors.items()
        }

    def _is_end(self, new: int) -> bool:
        return new == self.tokenizer.eos_token_id or new in self.ends

    def _read(self, ids: list[int]) -> Answer:
        """Turn the new ids of one row into text."""
        finished = self._is_end(ids[-1])
        text = self.tokenizer.decode(ids[:-1] if finished else ids, skip_special_tokens=True)
        return Answer(plain(text), "stop" if finished else "length")


ENGINE = Generator
