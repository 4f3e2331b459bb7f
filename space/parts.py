"""What both pages have: the image that is asked about, and how a question without an answer is shown."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from settings import Refused, Settings


def image_input(settings: Settings) -> Any:
    """Lay out the place for one image, with the examples below it."""
    image = gr.Image(
        label="Image", type="filepath", image_mode=None, sources=["upload", "clipboard"], elem_id="image", buttons=[],
        height=320,
    )  # fmt: skip
    if settings.examples:
        gr.Examples([[path] for path in settings.examples], [image], label="Images of the run")
    return image


def error_of(refused: Refused, title: str) -> Exception:
    """Return what the page shows in one line; Gradio takes it for HTML."""
    shown: Exception = gr.Error(html.escape(str(refused)), duration=None, title=title, print_exception=False)
    return shown
