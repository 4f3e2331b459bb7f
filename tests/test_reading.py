"""Arrays of rows are read as a stream: the rows and their very bytes; what is broken is told by row and byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharegpt4v.errors import UserError
from sharegpt4v.llava_format import reading
from sharegpt4v.llava_format.reading import read_array, read_located

FORMS: list[dict[str, Any]] = [{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}]
TEXTS = st.text(st.sampled_from('{}[]",: \\id\n“é𝄞'), max_size=12)
VALUES = st.recursive(
    TEXTS | st.integers(-5, 5) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("id") | TEXTS, inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(st.just("id") | TEXTS, VALUES, max_size=3), max_size=6)
CAPTION = {"id": "1", "image": "coco/1.jpg", "conversations": [{"from": "gpt", "value": "A “red” {circle}."}]}


@settings(deadline=None, max_examples=150)
@given(ROWS, st.sampled_from(FORMS), st.sampled_from([1, 7, 1 << 20]))
def test_rows_and_their_bytes_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], form: dict[str, Any], chunk: int
) -> None:
    text = json.dumps(rows, **form).encode()
    path = tmp_path_factory.getbasetemp() / "rows.json"
    path.write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK", chunk)
        found = list(read_located(path))
    assert [row for _, _, row in found] == rows
    for start, content, row in found:
        assert text[start : start + len(content)] == content and orjson.loads(content) == row


def test_rows_of_one_form_are_found_by_their_first_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([CAPTION] * 500, indent=2))
    searched: list[int] = []
    by_brackets = reading._end_of_object
    monkeypatch.setattr(reading, "_end_of_object", lambda *at: searched.append(1) or by_brackets(*at))  # type: ignore[func-returns-value]
    assert sum(1 for _ in read_array(tmp_path / "rows.json")) == 500
    assert len(searched) <= 4  # the first row, and the last


WHOLE = json.dumps([CAPTION] * 5).encode()
ROW = len(json.dumps(CAPTION))
BROKEN = [
    (b"", r"byte 0: no JSON array; expected one of rows"),
    (b'{"id": 1}', r"byte 0: no JSON array"),
    (b"[{}, 3]", r"byte 5: row 2 is no object"),
    (WHOLE + b"[", rf"byte {len(WHOLE)}: more after the end of the array"),
    (WHOLE[:-1], rf"byte {len(WHOLE) - 1}: the file is cut off after row 5"),
    (WHOLE[:400], r"byte 400: row 4 breaks here \(the file is cut off\); 3 rows before it are whole"),
    (WHOLE.replace(b"}]}, ", b"}]} ", 1), rf"byte {ROW + 2}: no ',' or '\]' after row 1"),
    (WHOLE[:150] + b"\xff" + WHOLE[151:], r"byte 150: row 2 breaks here \(not UTF-8\); 1 rows before it are whole"),
    (WHOLE[:150] + b"\0" * 9 + WHOLE[159:], r"byte 150: row 2 breaks here \(unexpected control character in string\)"),
    (WHOLE[: 5 * ROW] + b"x" * 9000, r"row 5 breaks here"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_what_is_broken_is_told_with_row_and_byte(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "rows.json").write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        list(read_array(tmp_path / "rows.json"))
    assert str(error.value).startswith(f"{tmp_path / 'rows.json'}, byte ") and "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.json: cannot be read \(No such file or directory\); expected"):
        list(read_array(tmp_path / "gone.json"))
