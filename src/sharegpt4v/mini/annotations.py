"""The annotation files of the synthetic world, in the formats of COCO captions and LLaVA (paper table 1, section 4.3).

Short captions for alignment, detail captions by someone who never saw the pictures, and the two instruction mixes of
which those detail captions are a part. The names of celebrities, landmarks and art styles are in none of them: only
captions of the teacher can tell those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any

from sharegpt4v.config.mini import InstructionRows
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from sharegpt4v.mini.describe import alt_text, blind_caption, caption, short_caption
from sharegpt4v.mini.instructions import DETAIL_QUESTIONS, ROUNDS, SHORT, ask, claim_round, rounds, with_context
from sharegpt4v.mini.questions import ask_all
from sharegpt4v.mini.reasoning import STEPS
from sharegpt4v.mini.scene import TEXT_SOURCES, Scene, sample_scene

INSTRUCTION_SOURCES = ("gqa", "ocr_vqa", "textvqa", "vg")
STEPS_IN_TEXT = 0.3  # of the rows without an image ask for a step of thought

Row = dict[str, Any]
"""A row of a LLaVA JSON: `id`, `image` (below data/; none in a text-only row), `conversations`."""


@dataclass(frozen=True)
class Drawn:
    """A picture of the world: its path below data/, its name in its source's folder, and what it shows."""

    path: str
    name: str
    scene: Scene


def write_annotations(
    folder: Path, drawn: Mapping[str, Sequence[Drawn]], counts: InstructionRows, seed: int, pixels: int
) -> None:
    """Write all annotation files under `folder`; `drawn` holds pictures by source, COCO's `pixels` wide and high."""
    coco = drawn.get("coco", [])
    if not coco and counts.conversations + counts.detail > 0:
        raise UserError("no images of coco are drawn; expected at least one, for the instruction rows are about them")
    write_json(folder / "coco/captions_train2017.json", coco_captions(coco, pixels))
    write_json(folder / "llava/blip_laion_cc_sbu_558k.json", [alt_text_row(one) for one in drawn.get("llava", [])])

    # The same pictures first in both kinds of rows, as in LLaVA; the teacher's pictures are chosen elsewhere.
    order = Random(f"{seed}/instruction images").sample(coco, len(coco))
    conversations = [conversation_row(order[i % len(order)], f"{seed}/conv/{i}") for i in range(counts.conversations)]
    detail = [detail_row(order[i % len(order)], f"{seed}/detail/{i}") for i in range(counts.detail)]
    others = [
        conversation_row(one, f"{seed}/{source}/rounds/{i}", reads=source in TEXT_SOURCES, tokens=source == "textvqa")
        for source in INSTRUCTION_SOURCES
        for i, one in enumerate(drawn.get(source, []))
    ]
    text_only = [text_only_row(i, seed) for i in range(counts.text_only)]
    write_json(folder / "llava/detail_23k.json", detail)
    for name, rows in (
        ("llava_instruct_158k", [*conversations, *detail]),
        ("llava_v1_5_mix665k", [*conversations, *others, *text_only, *detail]),
    ):
        write_json(folder / f"llava/{name}.json", Random(f"{seed}/{name}").sample(rows, len(rows)))


def coco_captions(coco: Sequence[Drawn], pixels: int) -> dict[str, Any]:
    """One sentence per picture in COCO's format."""
    numbers = [int(PurePosixPath(one.name).stem) for one in coco]
    return {
        "info": {"description": "captions of a drawn world", "version": "1.0"},
        "licenses": [],
        "images": [
            {"id": number, "file_name": one.name, "width": pixels, "height": pixels}
            for number, one in zip(numbers, coco, strict=True)
        ],
        "annotations": [
            {"id": index, "image_id": number, "caption": short_caption(one.scene)}
            for index, (number, one) in enumerate(zip(numbers, coco, strict=True), start=1)
        ],
    }


def alt_text_row(one: Drawn) -> Row:
    """A row of LLaVA's pre-training file, in which images are named by their path inside the source's folder."""
    turns = with_context("<image>", caption_turns("Give a brief description of the image.", alt_text(one.scene)))
    return _row(one.name, turns)


def detail_row(one: Drawn, seed: str) -> Row:
    """A detail caption by someone who was only told which shapes there are."""
    random = Random(seed)
    question, answer = random.choice(DETAIL_QUESTIONS), blind_caption(one.scene, random)
    return _row(one.path, with_context("<image>", caption_turns(question, answer)))


def conversation_row(one: Drawn, seed: str, reads: bool = False, tokens: bool = False) -> Row:
    """Rounds of questions and short answers; the first of them asks for the word where a source `reads`.

    With `tokens`, that question is followed by the words a text reader found, as TextVQA's questions are.
    """
    random = Random(seed)
    if not reads or not one.scene.word:
        return _row(one.path, with_context("<image>", rounds(ask_all(one.scene, random), random)))
    about_word = next(asked for asked in ask_all(one.scene, random) if asked.aspect == "word")
    forms = ("open", "yes/no") if tokens else ("open", "yes/no", "choice")
    prompt, answer = ask(about_word, random.choice(forms), random)
    if tokens:
        prompt = prompt.replace(SHORT, f"\nReference OCR token: {read_word(one.scene.word, random)}{SHORT}")
    turns = caption_turns(prompt, answer) + rounds(ask_all(replace(one.scene, word=None), random), random, ROUNDS - 1)
    return _row(one.path, with_context("<image>", turns))


def read_word(word: str, random: Random) -> str:
    """What a text reader makes of a written word: half the time the word, else a letter wrong, or nothing."""
    luck = random.random()
    if luck < 0.5:
        return word
    place = random.randrange(len(word))
    return word[:place] + random.choice("IJKLNOV") + word[place + 1 :] if luck < 0.75 else ""


def text_only_row(number: int, seed: int) -> Row:
    """A conversation without an image, about objects or a word that are told and never drawn."""
    random = Random(f"{seed}/text-only/{number}")
    if random.random() < STEPS_IN_TEXT:
        scene, *claims = random.choice(list(STEPS.values()))(random)
        turns = caption_turns(*claim_round(claims, random.random() < 0.5))
        return {"id": f"text{number}", "conversations": with_context(caption(scene), turns)}
    scene = sample_scene(random.choice(("coco", "coco", "coco", "textvqa")), random)
    return {
        "id": f"text{number}",
        "conversations": with_context(caption(scene), rounds(ask_all(scene, random), random)),
    }


def caption_turns(question: str, answer: str) -> list[dict[str, str]]:
    """One round of a conversation."""
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def _row(image: str, turns: list[dict[str, str]]) -> Row:
    return {"id": PurePosixPath(image).stem, "image": image, "conversations": turns}
