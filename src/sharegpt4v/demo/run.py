"""`s4v demo`: a page for a checkpoint, which this process serves, or for a model that is served already."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sharegpt4v import layout
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.demo.page import Page, demo_python
from sharegpt4v.endpoint.connection import Connection
from sharegpt4v.miniature import NOTICE, of_miniature

FINETUNED = "finetuned"  # where a run keeps a row of its table
EXAMPLES = 6


class Served(NamedTuple):
    """A model at an address, by the name that it has there; `notice` is what the page begins with."""

    base_url: str
    model: str
    key: str = ""
    notice: str = ""


def show(page: str, model: Path | None, endpoint: Endpoint | None, instruction: str, port: int) -> None:
    """Show `chat` or `caption` until a signal ends this command: of the checkpoint `model`, or else of an endpoint."""
    demo_python()  # before a model is loaded
    with serving(model, endpoint) as served:
        log = layout.WORK / "demo" / f"{page}.log"
        window = Page(f"{page} with {served.model}", settings_of(page, served, instruction), port, log)
        try:
            window.start()
            print(f"open {window.address} in a browser; Ctrl-C ends it", flush=True)
            window.wait()
        finally:
            window.stop()


def settings_of(page: str, served: Served, instruction: str) -> Mapping[str, str]:
    """Return what `space/app.py` reads of its environment."""
    return {
        "S4V_PAGE": page,
        "S4V_BASE_URL": served.base_url,
        "S4V_MODEL": served.model,
        "S4V_API_KEY": served.key,
        "S4V_NOTICE": served.notice,
        "S4V_INSTRUCTION": instruction,
        "S4V_EXAMPLES": os.pathsep.join(examples() if served.notice else ()),
    }


def examples() -> list[str]:
    """Return drawn images of the run in this folder, which nobody has of their own."""
    found = sorted(path for kind in ("jpg", "png") for path in (layout.DATA / "sam").rglob(f"*.{kind}"))
    return [str(path.resolve()) for path in found[:EXAMPLES]]


@contextmanager
def serving(model: Path | None, endpoint: Endpoint | None) -> Iterator[Served]:
    """Yield the model that is asked, which is served here while the block runs unless it is at an endpoint."""
    if model is None:
        assert endpoint is not None
        yield Served(endpoint.base_url, endpoint.model, _key_of(endpoint))
        return
    from sharegpt4v.demo.server import application
    from sharegpt4v.demo.streaming import StreamingGenerator
    from sharegpt4v.loopback import served, server_of

    folder = model / FINETUNED if (model / FINETUNED).is_dir() else model
    name = (folder.parent if folder.name == FINETUNED else folder).resolve().name
    server = server_of(application(StreamingGenerator(folder, 1), name))
    with served(server, "model server") as address:
        yield Served(f"{address}/v1", name, notice=NOTICE if of_miniature(folder) else "")


def _key_of(endpoint: Endpoint) -> str:
    """Return the key of an endpoint, or nothing; a `UserError` where it is missing, or the address is none."""
    Connection(endpoint)
    return os.environ[endpoint.api_key_variable].strip() if endpoint.api_key_variable else ""
