"""A conversation of several turns about one image, or about none, answered piece by piece."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from parts import error_of, image_input
from settings import Refused, Settings
from turns import messages, shown
from uploads import data_url

MOST_TOKENS = 512  # of an answer
MOST_LETTERS = 8000  # of a question


def chat_page(settings: Settings) -> None:
    """Lay out the page, inside its block."""

    async def ask(question: str, image: str | None, rounds: list[Any]) -> AsyncIterator[tuple[Any, Any, Any]]:
        """Yield what the question's box, the conversation and its rounds hold; what was written before a stop stays."""
        if not question.strip():
            yield question, shown(rounds), rounds
            return
        written = ""
        yield "", shown([*rounds, (question, "")]), rounds
        try:
            url = data_url(image) if image else None
            async for piece in settings.model.answer(messages(rounds, question, url), MOST_TOKENS):
                written += piece
                said = [*rounds, (question, written)]
                yield "", shown(said), said
        except Refused as error:
            raise error_of(error, "No answer") from None

    gr.Markdown(f"# Chat with {html.escape(settings.model.name)}")
    rounds = gr.State([])
    with gr.Row():
        with gr.Column(scale=2):
            image = image_input(settings)
        with gr.Column(scale=3):
            chat = gr.Chatbot(
                label="Conversation", render_markdown=False, height=420, buttons=[], elem_id="chat",
                placeholder="Choose an image, then ask about it.", feedback_options=None,
            )  # fmt: skip
            question = gr.Textbox(
                label="Question (Enter sends it)", max_length=MOST_LETTERS, lines=1, autofocus=True, elem_id="question"
            )
            with gr.Row():
                send = gr.Button("Send", variant="primary", elem_id="send")
                stop = gr.Button("Stop", elem_id="stop")
                new = gr.Button("New conversation", elem_id="new")
    asked = gr.on(
        [question.submit, send.click], ask, [question, image, rounds], [question, chat, rounds],
        show_progress="minimal", trigger_mode="once", concurrency_limit=4, api_visibility="private",
    )  # fmt: skip
    stop.click(None, cancels=[asked])
    for event in (new.click, chat.clear, image.change):  # another image is another conversation
        event(lambda: ("", [], []), None, [question, chat, rounds], cancels=[asked], api_visibility="private")
