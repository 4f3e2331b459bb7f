"""Captions: of one image, written as one watches, and of many files, with a table and a file to take home."""

from __future__ import annotations

import html
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr

from batch import caption_of, captions_of, json_lines, progress
from parts import error_of, image_input
from settings import Refused, Settings

COLUMNS = ["image", "caption"]
FILE = "captions.jsonl"
TITLE = "No caption"  # of an error


def caption_page(settings: Settings) -> None:
    """Lay out the page, inside its block."""
    gr.Markdown(f"# Captions by {html.escape(settings.model.name)}")
    instruction = gr.Textbox(settings.instruction, label="Instruction", max_length=4000, elem_id="instruction")
    with gr.Tab("One image"):
        _one(settings, instruction)
    with gr.Tab("Many images"):
        _many(settings, instruction)


def _one(settings: Settings, instruction: Any) -> None:
    async def describe(image: str | None, asked: str) -> AsyncIterator[str]:
        if not image:
            raise error_of(Refused("no image; choose one first"), TITLE)
        yield ""
        try:
            async for written in caption_of(settings, image, asked):
                yield written
        except Refused as error:
            raise error_of(error, TITLE) from None

    with gr.Row():
        with gr.Column(scale=2):
            image = image_input(settings)
        with gr.Column(scale=3):
            caption = gr.Textbox(label="Caption", lines=12, interactive=False, buttons=["copy"], elem_id="caption")
            with gr.Row():
                button = gr.Button("Describe", variant="primary", elem_id="describe")
                stop = gr.Button("Stop")
    written = button.click(
        describe, [image, instruction], caption, show_progress="minimal", trigger_mode="once", concurrency_limit=4,
        api_visibility="private",
    )  # fmt: skip
    stop.click(None, cancels=[written])


def _many(settings: Settings, instruction: Any) -> None:
    async def describe(
        files: list[str] | None, folder: list[str] | None, asked: str
    ) -> AsyncIterator[tuple[str, Any, Any]]:
        """Yield the progress, the table and the file after each caption."""
        paths, rows, began = [*(files or []), *(folder or [])], list[dict[str, Any]](), time.monotonic()
        if not paths:
            raise error_of(Refused("no images; choose files or a folder first"), TITLE)
        out = Path(tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"])) / FILE
        out.touch()
        yield progress(rows, len(paths), began), [], gr.DownloadButton(interactive=False)
        try:
            async for row in captions_of(settings, paths, asked):
                rows.append(row)
                with open(out, "a") as file:
                    file.write(json_lines([row]))
                table = [[one["image"], one.get("caption", f"no caption: {one.get('error')}")] for one in rows]
                yield progress(rows, len(paths), began), table, gr.DownloadButton(value=str(out), interactive=True)
        except Refused as error:
            raise error_of(error, TITLE) from None

    with gr.Row():
        files = gr.File(label="Files", file_count="multiple", file_types=["image"], height=140, elem_id="files")
        folder = gr.File(label="A folder", file_count="directory", height=140, elem_id="folder")
    with gr.Row():
        button = gr.Button("Describe all", variant="primary", elem_id="describe-all")
        stop = gr.Button("Stop")
        download = gr.DownloadButton("Download JSON lines", interactive=False, elem_id="download")
    status = gr.Textbox(label="Progress", interactive=False, elem_id="progress")
    table = gr.Dataframe(
        headers=COLUMNS, column_widths=["20%", "80%"], datatype="str", interactive=False, wrap=True, type="array",
        elem_id="table",
    )  # fmt: skip
    written = button.click(
        describe, [files, folder, instruction], [status, table, download], show_progress="hidden", trigger_mode="once",
        concurrency_limit=2, api_visibility="private",
    )  # fmt: skip
    stop.click(None, cancels=[written])
