"""vLLM: a server of the job's own, asked by the same client as any endpoint, for captions and answers at scale.

Images are decoded and made square here, as the model was trained on them, and handed over as small files without
compression, so that the server has next to nothing to do with them. A server that dies is started again and asked for
what is missing; one whose device runs out of memory, with half as many texts at a time.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from PIL import Image

from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.config.generation import Generation, Vllm
from sharegpt4v.endpoint.request import BrokenImage
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.errors import UserError, one_line
from sharegpt4v.files import read_json
from sharegpt4v.folders import new_folder
from sharegpt4v.generation.endpoint import EndpointEngine, Question
from sharegpt4v.generation.engine import Request
from sharegpt4v.images.loading import open_image, read_image_file, to_rgb
from sharegpt4v.ledger import Ledger
from sharegpt4v.models.device import choose_device
from sharegpt4v.models.family import family_named, name_in
from sharegpt4v.models.loading import load_part
from sharegpt4v.provenance import hash_of
from sharegpt4v.serving.server import Server
from sharegpt4v.serving.vllm_server import arguments, vllm_server, vllm_version

DEATHS = 3  # of a server in a row that has not answered in between
SERVED = ("llava", "auto")  # families whose checkpoints vLLM loads
NEVER = -100  # added to the score of a token that is never written


class VllmEngine(EndpointEngine):
    """A checkpoint, served by vLLM for as long as the engine lives."""

    def __init__(self, model: Path, settings: Vllm, work: Path) -> None:
        """Start the server of the checkpoint `model`; a `UserError` where it cannot be served."""
        from transformers import AutoConfig

        family = name_in(model)
        if family not in SERVED:
            raise UserError(f"{model}: vLLM does not serve the family {family}; use --engine local")
        name = f"{model.resolve().name}-{hash_of(model)[:12]}"
        endpoint = Endpoint(
            model=name, api_key_variable=None, concurrency=2 * settings.sequences, timeout_seconds=3600, attempts=2
        )
        super().__init__(endpoint, work)
        never = read_json(model / "generation_config.json").get("suppress_tokens") or []
        # vLLM does not read this setting by itself.
        self.settings = replace(
            self.settings, costs_nothing=True, extra={"logit_bias": {str(token): NEVER for token in never}}
        )
        self.vllm, self.model = settings, model
        config = load_part(AutoConfig, model)
        self._prepare: dict[str, Callable[[Image.Image], Image.Image]] = {}
        if not family_named(family).by_size:
            ways = ("pad", "square")
            self._prepare = {way: family_named(family).images(config, way).prepare for way in ways}
        with ExitStack() as held:
            self._images = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="s4v-images-")))
            self._on_gpu = choose_device().type == "cuda"
            self.server = self._server(name)
            held.callback(lambda: self.server.stop())
            self._start()
            self._held = held.pop_all()

    @classmethod
    def start(cls, model: Path | None, settings: Generation, work: Path) -> Self:
        """Start a server with the settings of `settings.vllm`."""
        if model is None:
            raise UserError("engine 'vllm' serves a checkpoint: expected its folder, --model")
        return cls(model, settings.vllm, work)

    @classmethod
    def about(cls, settings: Generation) -> dict[str, Any]:
        """vLLM's release and the arguments that may decide on what is written."""
        on_gpu = choose_device().type == "cuda"
        served = {"vllm": vllm_version(), "arguments": arguments(settings.vllm, on_gpu)}
        return {"engine": settings.engine, "deterministic": settings.vllm.deterministic, **served}

    def stop(self) -> None:
        """Stop the server, and remove what it read."""
        self._held.close()

    def replies(
        self, questions: Sequence[Question], settings: ChatSettings, ledger: Ledger
    ) -> Iterator[tuple[str, Any]]:
        """As the endpoint's, over as many starts of the server as it takes."""
        deaths = 0
        missing = {settings.key(question): question for question in questions}
        while True:
            asked = replace(settings, endpoint=settings.endpoint.model_copy(update={"base_url": self.server.base_url}))
            reasons: dict[str, str] = {}
            try:
                for key, reply in super().replies([*missing.values()], asked, ledger):
                    if isinstance(reply, str):
                        reasons[key] = reply
                        continue
                    deaths = 0
                    self._image_of(missing.pop(key)).unlink(missing_ok=True)
                    yield key, reply
            except UserError:
                if self.server.is_running:
                    raise
            if self.server.is_running or not missing:
                yield from reasons.items()
                return
            deaths = self._restart(deaths)

    def image_url(self, question: Question) -> str:
        """Write the image as the model is to see it to a file, and return that file's address."""
        request, file = question.request, self._image_of(question)
        assert request.image is not None
        try:
            seen = self._seen(request)
        except Exception as error:  # whatever Pillow raises
            raise BrokenImage(f"the image cannot be decoded ({one_line(error)})") from None
        if isinstance(seen, bytes):
            file.write_bytes(seen)
        else:
            seen.save(file, "BMP")
        return file.as_uri()

    def _seen(self, request: Request) -> Image.Image | bytes:
        """Return the image as the model is to see it; the file's own bytes where every reader sees that in them.

        So images that were packed are not decoded here, which would take most of the time that a request takes.
        """
        assert request.image is not None
        data = request.image if isinstance(request.image, bytes) else read_image_file(request.image)
        prepare = self._prepare.get(request.image_aspect_ratio)
        with open_image(data) as opened:
            is_plain = _is_plain(opened, data, request.upright)
            rgb = opened if is_plain else to_rgb(opened, request.upright)
            seen = prepare(rgb) if prepare else rgb
            return data if is_plain and seen is opened else seen

    def _image_of(self, question: Question) -> Path:
        return self._images / f"{question.place}.bmp"

    def _server(self, name: str) -> Server:
        log = self.work / "vllm.log"
        return vllm_server(self._as_vllm_loads_it(), name, self.vllm, self._images, log, self._on_gpu)

    def _as_vllm_loads_it(self) -> Path:
        """Return the folder of the checkpoint, or that of one that says the same where vLLM does not load it so."""
        from transformers import AutoConfig

        from sharegpt4v.models.linear_projector import is_linear

        family = name_in(self.model)
        if family != "llava" or not is_linear(load_part(AutoConfig, self.model)):
            return self.model
        out = self.work / f"for-vllm-{hash_of(self.model)[:12]}"
        if not out.exists():
            with new_folder(out) as folder:
                family_named(family).export_for_vllm(self.model, folder)
        return out

    def _start(self) -> None:
        """Start the server, with half as many texts at a time as often as its device lacks memory for them."""
        while True:
            try:
                return self.server.start()
            except UserError:
                if not self.server.lacked_memory or self.vllm.sequences == 1:
                    raise
                self._halve()

    def _restart(self, deaths: int) -> int:
        """Start the server again; return how often it ended in a row, before or after it was ready."""
        while True:
            deaths, said = deaths + 1, self.server.last_words()
            if deaths > DEATHS:
                raise UserError(f"vLLM ended {deaths} times in a row without an answer; the last time: {said}")
            print(f"vLLM ended and is started again, for what is missing: {said}", file=sys.stderr)
            if self.server.lacked_memory and self.vllm.sequences > 1:
                self._halve()
            with suppress(UserError):
                self._start()
                return deaths

    def _halve(self) -> None:
        self.vllm = self.vllm.model_copy(update={"sequences": self.vllm.sequences // 2})
        print(f"the device lacks memory: vLLM writes {self.vllm.sequences} texts at a time now", file=sys.stderr)
        self.server = self._server(self.server.name)


def _is_plain(opened: Image.Image, data: bytes, upright: bool) -> bool:
    """Say whether every reader gets the same RGB pixels of a file: one without loss, and not to be turned."""
    is_webp = data[8:16] == b"WEBPVP8L"  # which has no place for EXIF data, nor has BMP
    return opened.mode == "RGB" and (is_webp or opened.format == "BMP" or (opened.format == "PNG" and not upright))


ENGINE = VllmEngine
