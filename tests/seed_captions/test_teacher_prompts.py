"""What the teacher is asked and about which images."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from seed_stage import PROMPTS
from sharegpt4v.corpora.prompts import PromptBook, asks_aesthetic
from sharegpt4v.endpoint.request import prompt_hash
from sharegpt4v.errors import UserError
from sharegpt4v.seed_captions.stage import choose


def test_prompt_is_base_then_source_block_then_closing() -> None:
    book = PromptBook.load(PROMPTS)
    art = (PROMPTS / "sources" / "art.txt").read_text().strip()
    assert book.render("wikiart", aesthetic=False) == "\n\n".join([book.base, art, book.closing])
    assert book.render("wikiart", aesthetic=True) == "\n\n".join([book.base, art, book.closing, book.aesthetic])
    assert len({prompt_hash(book.render(source, False)) for source in book.blocks}) == 5


def test_users_own_source_gets_the_default_block_and_without_one_the_file_to_extend_is_named(tmp_path: Path) -> None:
    book = PromptBook.load(PROMPTS)
    assert book.render("my-photos", False) == book.render("coco", False)
    without_default = PromptBook(tmp_path, "base", "closing", "aesthetic", {"coco": "block"}, ("question",))
    with pytest.raises(UserError, match=r"sources\.tsv: no row for source 'my-photos'"):
        without_default.render("my-photos", False)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("coco\tgeneral\n", "line 1: expected 'source', tab, 'block'"),
        ("source\tblock\ncoco general\n", "line 2: expected 'source', tab, 'block'"),
        ("source\tblock\ncoco\tgeneral\ncoco\tgeneral\n", "line 3: source 'coco' has a row already"),
        ("source\tblock\ncoco\tnothing\n", "nothing.txt: no such file"),
        ("\n", "the file is empty"),
    ],
)
def test_broken_prompt_folder_is_one_line_with_the_place(tmp_path: Path, table: str, complaint: str) -> None:
    for name in ("base", "closing", "aesthetic", "questions", "sources/general"):
        (tmp_path / f"{name}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.txt").write_text("text")
    (tmp_path / "sources.tsv").write_text(table)
    with pytest.raises(UserError) as caught:
        PromptBook.load(tmp_path)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_aesthetic_part_depends_on_seed_and_path_alone_and_has_the_asked_size() -> None:
    paths = [f"coco/{number}.jpg" for number in range(4000)]
    first = [asks_aesthetic(path, 7, 0.25) for path in paths]
    assert first == [asks_aesthetic(path, 7, 0.25) for path in paths]
    assert first != [asks_aesthetic(path, 8, 0.25) for path in paths]
    assert 0.22 < sum(first) / len(first) < 0.28
    assert not any(asks_aesthetic(path, 7, 0.0) for path in paths)
    assert all(asks_aesthetic(path, 7, 1.0) for path in paths)


def manifest(source: str) -> list[dict[str, str]]:
    return [
        {"path": f"{source}/{n}.jpg", "sha256": f"{source}{n}", "status": "bad" if n % 5 == 0 else "ok"}
        for n in range(50)
    ]


def test_choice_of_images_ignores_the_order_of_rows_and_grows_with_the_count() -> None:
    rows = manifest("sam")
    chosen = choose(rows, "sam", 10, seed=1)
    assert Counter(image.source for image in chosen) == {"sam": 10}
    random.Random(0).shuffle(rows)
    assert choose(rows, "sam", 10, seed=1) == chosen
    assert choose(rows, "sam", 20, seed=1)[:10] == choose(rows, "sam", None, seed=1)[:10] == chosen
    assert choose(rows, "sam", 10, seed=2) != chosen
    assert all(int(image.path.split("/")[1][:-4]) % 5 for image in chosen)


def test_too_few_images_is_an_error_and_none_takes_all() -> None:
    assert len(choose(manifest("coco"), "coco", None, seed=1)) == 40
    with pytest.raises(UserError, match=r"41 images of source 'coco' are wanted, the manifest has 40"):
        choose(manifest("coco"), "coco", 41, seed=1)
