"""The pages of the demo: a conversation with a model about an image, or captions of images.

`s4v demo` starts this beside the model; a Space of Hugging Face runs the folder as it is. What it reads of its
environment is in `settings.py`. Nothing is sent to anybody but the model.
"""

from __future__ import annotations

import html
import os
import signal
import sys
import tempfile
from typing import Any

ALONE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
os.environ.update(ALONE)  # read when gradio is imported

import gradio as gr  # noqa: E402

from caption_page import caption_page  # noqa: E402
from chat_page import chat_page  # noqa: E402
from only_here import only_here  # noqa: E402
from settings import Settings  # noqa: E402
from uploads import MOST_BYTES  # noqa: E402

PAGES = {"chat": chat_page, "caption": caption_page}
SECONDS_BETWEEN_LOOKS, SECONDS_KEPT = 600, 3600  # of uploads
THEME = {
    "primary_hue": "blue",
    "font": ["system-ui", "sans-serif"],
    "font_mono": ["system-ui", "sans-serif"],  # of tables, which hold captions
}  # no font is loaded


def build(settings: Settings) -> Any:
    """Return the page that the settings name."""
    title = f"{settings.page.capitalize()} with {settings.model.name}"
    with gr.Blocks(title=title, delete_cache=(SECONDS_BETWEEN_LOOKS, SECONDS_KEPT), analytics_enabled=False) as page:
        if settings.notice:
            gr.HTML(f"<strong>{html.escape(settings.notice)}</strong>", elem_id="notice")
        PAGES[settings.page](settings)
    return page


def main() -> None:
    """Serve the page until a signal ends the process; uploads are gone with it."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="s4v-demo-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        build(Settings.of_environment()).launch(
            share=False,
            quiet=True,
            show_error=True,
            ssr_mode=False,
            pwa=False,
            run_history=False,
            footer_links=[],
            max_file_size=MOST_BYTES,
            theme=gr.themes.Default(**THEME),
            app_kwargs={"middleware": only_here()},
        )


if __name__ == "__main__":
    main()
