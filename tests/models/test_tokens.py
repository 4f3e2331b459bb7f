"""Ids and labels are those of LLaVA's code, on a real vocabulary, with sentencepiece itself to compare with."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import LlamaTokenizer

from conftest import PROJECT
from sharegpt4v.catalogues.benchmarks import read_catalogue
from sharegpt4v.errors import UserError
from sharegpt4v.models.family import family_named
from sharegpt4v.models.llama_tokenizer import read_sentencepiece, read_tokenizer_json, without_mark
from sharegpt4v.models.templates import IGNORED, IMAGE, SYSTEM, encode, prompt_ids, prompt_text, v1_text
from sharegpt4v.training.rows import tokenise
from sharegpt4v.training.samples import Tally

MODEL = Path(str(files("mistral_common"))) / "data" / "tokenizer.model.v1"
LONGEST = 2048
LETTERS = [*"abcdeXYZ019.,:'\"()é中😀\n\t▁", *[" "] * 12]
WORDS = ("The", "image", "shows", "2,000", "cats", "—", "猫", "naïve", "x=1;", "\n", "  ", "I'm", "\n\n1. ", "😀")


@pytest.fixture(scope="module")
def original() -> SentencePieceProcessor:
    return SentencePieceProcessor(model_file=str(MODEL))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return read_sentencepiece(MODEL, IMAGE)


def ids_of(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def test_every_text_has_the_ids_of_sentencepiece(tokenizer: Any, original: SentencePieceProcessor) -> None:
    random = Random(0)
    texts = ["".join(random.choices(LETTERS, k=random.randint(0, 80))) for _ in range(3000)]
    texts += [f"{start}{' ' * count}{end}" for count in range(100) for start in ("", "a", "\n") for end in ("", "work")]
    for text in texts:
        assert ids_of(tokenizer, text) == original.encode(text), repr(text)


def test_a_run_of_blanks_grows_from_its_left_end(tokenizer: Any) -> None:
    assert tokenizer.tokenize("\n     work") == ["▁", "<0x0A>", "▁▁▁▁", "▁work"]


def test_a_vocabulary_that_transformers_has_converted_has_the_same_ids(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(MODEL.read_bytes())
    LlamaTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path / "theirs")
    again = read_tokenizer_json(tmp_path / "theirs/tokenizer.json", IMAGE)
    random = Random(1)
    texts = ["".join(random.choices([*LETTERS, IMAGE], k=random.randint(0, 80))) for _ in range(500)]
    for text in [*texts, " A cat", "\n    work", prompt_text("What is it?", True)]:
        assert ids_of(again, text) == ids_of(tokenizer, text), repr(text)
    (tmp_path / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}, "byte_fallback": false}}')
    with pytest.raises(UserError, match=r"tokenizer\.json: not Llama's vocabulary"):
        read_tokenizer_json(tmp_path / "tokenizer.json", IMAGE)


def test_a_vocabulary_that_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n".join(f"a cat and {number} dogs" for number in range(300)))
    for kind, message in (("unigram", "not a BPE model"), ("bpe", "cannot be converted")):
        SentencePieceTrainer.train(
            input=str(tmp_path / "text.txt"), model_prefix=str(tmp_path / kind), model_type=kind, vocab_size=60,
            hard_vocab_limit=False, minloglevel=2,
        )  # fmt: skip
        with pytest.raises(UserError, match=message):
            read_sentencepiece(tmp_path / f"{kind}.model", IMAGE)
    (tmp_path / "broken.model").write_bytes(b"\x0a\xff\xff")
    with pytest.raises(UserError, match=r"broken\.model: not a sentencepiece model"):
        read_sentencepiece(tmp_path / "broken.model", IMAGE)


def official(
    original: SentencePieceProcessor, image_id: int, turns: list[dict[str, str]], template: str, image: bool
) -> Any:
    """Ids and labels as the released code makes them: piece by piece, and by counting tokens; None when it masks all.

    Written after ShareGPT4V's `preprocess`, with the one difference that `USER` after `</s>` is not cut in two.
    """

    def piece(text: str) -> list[int]:
        first, *later = text.split("</s>")
        ids: list[int] = original.encode(first)
        for one in later:
            ids += [original.eos_id(), *original.encode(f"\n{one}")[2:]]
        return ids

    def with_marks(text: str) -> list[int]:
        ids = [original.bos_id()]
        for number, one in enumerate(text.split(IMAGE) if image else [text]):
            ids += ([image_id] if number else []) + piece(one)
        return ids

    values = [turn["value"] for turn in turns]
    if image:
        values = [
            f"{IMAGE}\n{value.replace(IMAGE, '').strip()}".strip() if IMAGE in value else value for value in values
        ]
    if template == "plain":
        ids = with_marks(f"{IMAGE}{values[1]}\n")
        return ids, [IGNORED, IGNORED, *ids[2:]]
    text = f"{SYSTEM} "
    for number, value in enumerate(values):
        role, end = (("USER", " "), ("ASSISTANT", "</s>"))[number % 2]
        text += f"{role}: {value}{end}" if value else f"{role}:"
    ids = with_marks(text) if image else with_marks(text)[:LONGEST]
    labels, place, before = list(ids), 1, ""
    labels[0] = IGNORED
    for one in text.split("</s>"):
        parts = one.split(" ASSISTANT: ")
        if one == "" or len(parts) != 2:
            break
        # A round is counted with a begin mark, in whose place a later one has the end mark of the round before.
        learned_from = place + len(with_marks(f"{before}{parts[0]} ASSISTANT: ")) - len(before[:1]) - 2
        labels[place:learned_from] = [IGNORED] * len(labels[place:learned_from])
        place += len(with_marks(before + one)) - len(before[:1])
        before = "</s>"
    labels[place:] = [IGNORED] * len(labels[place:])
    labels = [IGNORED if one == image_id else label for one, label in zip(ids, labels, strict=True)]
    if place < LONGEST and place != len(ids):
        return None
    return ids[:LONGEST], labels[:LONGEST]


def conversation(random: Random, image: bool) -> list[dict[str, str]]:
    turns = []
    for number in range(random.choice((1, 1, 2, 3, 8))):
        question, answer = (
            " ".join(random.choices(WORDS, k=random.choice((1, 5, 30, 200 if number == 7 else 3)))) for _ in "qa"
        )
        mark = (f"{IMAGE}\n", f"{IMAGE} ", "")[random.randrange(2) if image and not number else 2]
        if image and not number and random.random() < 0.3:
            question, mark = f"{question}\n{IMAGE}", ""
        turns += [{"from": "human", "value": mark + question}, {"from": "gpt", "value": answer}]
    return turns


@pytest.mark.parametrize(("template", "image"), [("v1", True), ("v1", False), ("plain", True)])
def test_conversations_have_the_official_ids_and_labels(
    tokenizer: Any, original: SentencePieceProcessor, template: str, image: bool
) -> None:
    random, image_id = Random(f"{template} {image}"), tokenizer.convert_tokens_to_ids(IMAGE)
    conversations = [conversation(random, image) for _ in range(150)]
    if template == "plain":
        conversations = [turns[:2] for turns in conversations]
    rows = [{"conversations": turns, "image": "a.jpg" if image else None} for turns in conversations]
    found = list(tokenise(rows, family_named("llava"), tokenizer, template, LONGEST, "rows", tally := Tally()))
    assert tally.read == len(found) == 150 and not tally.left_out
    for turns, tokens in zip(conversations, found, strict=True):
        ids, labels = official(original, image_id, turns, template, image)
        assert tokens.ids == ids and tokens.labels == labels, turns
        assert tokens.image == ("a.jpg" if image else None)


def turns_of(*values: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[number % 2], "value": value} for number, value in enumerate(values)]


ODD_ROWS: dict[str, tuple[str, bool, list[dict[str, str]], str | None]] = {
    "the mark is in an answer": ("v1", True, turns_of("What?", f"a {IMAGE} cat"), None),
    "the mark is missing": ("v1", True, turns_of("What?", "A cat"), None),
    "text alone that speaks of the mark": ("v1", False, turns_of(f"What is {IMAGE}?", f"A mark, {IMAGE}."), None),
    "a caption after an answer": (
        "v1",
        True,
        [{"from": "gpt", "value": "Hello"}, *turns_of(f"{IMAGE}", "A cat")],
        None,
    ),
    "marks in two turns": ("v1", True, turns_of(f"{IMAGE}a", "b", f"{IMAGE}c", "d"), "several <image> marks"),
    "a caption with a mark": ("plain", True, turns_of(IMAGE, f"a {IMAGE} cat"), "several <image> marks"),
    "no mark before a caption": ("plain", True, turns_of("What?", "A cat"), "not an image with a question"),
    "no image for a caption": ("plain", False, turns_of(IMAGE, "A cat"), "not an image with a question"),
    "three turns": ("plain", True, turns_of(IMAGE, "A cat", "And?"), "not an image with a question"),
    "two answers in a row": ("v1", True, [*turns_of(IMAGE, "A"), {"from": "gpt", "value": "B"}], "do not alternate"),
    "somebody else": ("v1", True, [{"from": "system", "value": "Hi"}, *turns_of(IMAGE, "A")], "do not alternate"),
    "no turns": ("v1", True, [], "do not alternate"),
    "an empty answer": ("v1", True, turns_of(IMAGE, "A", "b", "", "c", "d"), None),
    "an empty question": ("v1", False, turns_of("", "A"), "an empty turn"),
    "an empty last answer": ("v1", True, turns_of(IMAGE, "A", "b", ""), "an empty turn"),
    "an end mark in an answer": ("v1", True, turns_of(IMAGE, "A</s>B"), "an empty turn, a mark"),
    "ASSISTANT in an answer": ("v1", True, turns_of(IMAGE, "say ASSISTANT: yes"), "an empty turn, a mark"),
    "no last answer": ("v1", True, turns_of(IMAGE, "A", "b"), "an empty turn, a mark"),
    "no last answer, but after the cut": ("v1", True, turns_of(IMAGE, "A " * 3000, "b"), None),
    "an answer after the cut": ("v1", False, turns_of("a " * 3000, "B"), "no answer within 2,048 tokens"),
}


@pytest.mark.parametrize("name", ODD_ROWS)
def test_an_odd_row_is_learned_as_officially_or_left_out_and_counted(
    tokenizer: Any, original: SentencePieceProcessor, name: str
) -> None:
    template, image, turns, reason = ODD_ROWS[name]
    good = {"image": "a.jpg", "conversations": turns_of(f"{IMAGE}\nWhat?", "A cat.")}
    row = {"image": "a.jpg" if image else None, "conversations": turns}
    found = list(
        tokenise([good, row, good], family_named("llava"), tokenizer, template, LONGEST, "rows", tally := Tally())
    )
    if reason is not None:
        assert len(found) == 2 and found[0] == found[1]
        assert [(count, reason in why) for why, count in tally.left_out.items()] == [(1, True)], tally
        assert "1 left out: " in str(tally) and reason in str(tally)
        return
    assert len(found) == 3 and not tally.left_out
    read = turns[1:] if turns[0]["from"] == "gpt" else turns
    expected = official(original, tokenizer.convert_tokens_to_ids(IMAGE), read, template, image)
    assert (found[1].ids, found[1].labels) == expected
    assert found[1].image == ("a.jpg" if image and name != "the mark is missing" else None)


def test_a_run_without_a_row_to_learn_says_why(tokenizer: Any) -> None:
    rows = [{"image": "a.jpg", "conversations": turns_of(f"{IMAGE}a", "b", IMAGE, "c")}] * 3
    with pytest.raises(
        UserError, match=r"finetuning: no row has an answer to learn \(0 of 3 rows cut; 3 left out: sev"
    ):
        list(tokenise(rows, family_named("llava"), tokenizer, "v1", LONGEST, "finetuning", Tally()))


def test_prompts_have_the_official_ids(tokenizer: Any, original: SentencePieceProcessor) -> None:
    image_id, begin = tokenizer.convert_tokens_to_ids(IMAGE), original.bos_id()
    for question in ("What is it?", " 2 cats?", "Hint: a\nWhich?\nA. b\nB. c\nAnswer.\n", "什么？", ""):
        before, after = f"{SYSTEM} USER: ", f"\n{question} ASSISTANT:"
        expected = [begin, *original.encode(before), *[image_id] * 576, *original.encode(after)]
        assert prompt_ids(tokenizer, prompt_text(question, True), 576) == expected
        alone = [begin, *original.encode(f"{SYSTEM} USER: {question} ASSISTANT:")]
        assert prompt_ids(tokenizer, prompt_text(question, False), 576) == alone


def test_the_prompts_of_all_benchmarks_are_asked_piece_by_piece(
    tokenizer: Any, original: SentencePieceProcessor
) -> None:
    image_id, seen = tokenizer.convert_tokens_to_ids(IMAGE), set()
    for line in (PROJECT / "benchmarks/official_prompts.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        pieces = [original.encode(piece) for piece in row["prompt"].split(IMAGE)]
        expected = [original.bos_id(), *pieces[0], *([image_id, *pieces[1]] if row["image"] else [])]
        assert prompt_ids(tokenizer, row["prompt"], 1) == expected
        seen.add(row["benchmark"])
    assert {name.removesuffix("-test") for name in seen} == {
        name for name, benchmark in read_catalogue().items() if benchmark.table == "paper" and "test" not in name
    }


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("kind", ["sentencepiece", "mini"])
def test_whoever_loads_the_folder_alone_gets_the_trained_ids(
    tokenizer: Any, tmp_path: Path, kind: str, rounds: int
) -> None:
    from transformers import AutoTokenizer

    from sharegpt4v.mini.base_stage import make_tokenizer
    from sharegpt4v.models.templates import CHAT_TEMPLATE

    if kind == "mini":
        make_tokenizer(tmp_path / "out", 600, 0)
    else:
        tokenizer.chat_template = CHAT_TEMPLATE
        tokenizer.save_pretrained(tmp_path / "out")
    loaded: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    answers = ["A red circle.", "2", "猫"][:rounds]
    turns = [turn for answer in answers for turn in turns_of("What color is it?", answer)]
    messages: list[dict[str, Any]] = [
        {"role": ("user", "assistant")[n % 2], "content": turn["value"]} for n, turn in enumerate(turns)
    ]
    messages[0]["content"] = [{"type": "text", "text": "What color is it?"}, {"type": "image"}]
    turns[0]["value"] = f"{IMAGE}\nWhat color is it?"
    text, spans = v1_text(turns)
    assert loaded.apply_chat_template(messages, tokenize=False) == f"<s>{text}"
    trained = encode(loaded, text, spans, 1)
    for ids in (
        loaded.apply_chat_template(messages, return_dict=True)["input_ids"],
        loaded(f"<s>{text}")["input_ids"],
        loaded(f"<s>{text}", add_special_tokens=False)["input_ids"],
    ):
        assert ids == trained.ids
    prompt = loaded.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert prompt == trained.ids[: len(prompt)] and loaded.decode(prompt).endswith("ASSISTANT:")
    other = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert loaded.apply_chat_template(other, tokenize=False) == "<s>Be brief. USER: Why?"


def test_without_its_mark_a_tokenizer_reads_it_as_text(tokenizer: Any, original: SentencePieceProcessor) -> None:
    text = f"{IMAGE} is a mark, {IMAGE}\n{IMAGE}5"
    assert ids_of(without_mark(tokenizer, IMAGE), text) == original.encode(text) != ids_of(tokenizer, text)


def test_the_script_counts_the_rows_that_are_official(
    tokenizer: Any, original: SentencePieceProcessor, tmp_path: Path
) -> None:
    (tmp_path / "vocabulary").mkdir()
    (tmp_path / "vocabulary/tokenizer.model").write_bytes(MODEL.read_bytes())
    image_id, random = tokenizer.convert_tokens_to_ids(IMAGE), Random(1)
    rows: list[dict[str, Any]] = []
    for image in (True, True, False):
        turns = conversation(random, image)
        ids, labels = official(original, image_id, turns, "v1", image)
        ids = [-200 if one == image_id else one for one in ids]
        rows.append({"template": "v1", "image": image, "conversations": turns, "ids": ids, "labels": labels})
    prompt = prompt_text("What is it?", True)
    asked = [-200 if one == image_id else one for one in prompt_ids(tokenizer, prompt, 1)]
    rows.append({"prompt": prompt, "image": True, "ids": asked})

    def run(rows: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        script = [sys.executable, "benchmarks/official_tokens.py", str(tmp_path / "rows.jsonl")]
        command = [*script, "--vocabulary", str(tmp_path / "vocabulary")]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)

    good = run(rows)
    assert good.returncode == 0 and good.stdout.endswith("all: 4 of 4\n"), good.stderr
    assert "v1, with image: 2 of 2 rows have the official ids and labels" in good.stdout
    rows[1]["labels"][-1] = IGNORED
    bad = run(rows)
    assert bad.returncode == 1 and bad.stdout.endswith("all: 3 of 4\n")
    assert "row 2 (v1, with image): labels" in bad.stderr
