"""What a ledger promises whatever is at its path: no record is lost, and what is no ledger stays as it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from full_disk import files_of_at_most
from harness import Outcomes, many_cases
from sharegpt4v.errors import UserError
from sharegpt4v.ledger import FIRST_BYTES, Ledger, read_ledger

VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.integers(-(2**63), 2**63) | st.none()
RECORDS = st.lists(st.tuples(st.text("abc", min_size=1, max_size=2), VALUES), max_size=6)
ODD_LINES = st.sampled_from(
    [b"{}\n", b"[1]\n", b'"key"\n', b"3\n", b"\n", b'{"key":5}\n', b'{"key":null}\n', b'{"key":["a"]}\n', b"\xff\xfe\n",
     b'{"key":"\\ud800"}\n', b'{"key":"a","n":' + b"9" * 5000 + b"}\n", b"[" * 5000 + b"]" * 5000 + b"\n"]
)  # fmt: skip


def lines_of(records: Sequence[tuple[str, object]]) -> bytes:
    return b"".join(orjson.dumps({"key": key, "value": value}) + b"\n" for key, value in records)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Whole ledgers, cut ledgers, ledgers with other line ends, odd lines among good ones, and any bytes."""
    content = lines_of(draw(RECORDS))
    match draw(st.sampled_from(["whole", "cut", "zeros", "CRLF", "CR", "odd line", "bytes", "other end", "one line"])):
        case "cut":
            return content[: draw(st.integers(0, len(content)))]
        case "zeros":
            return content[: draw(st.integers(0, len(content)))] + bytes(draw(st.integers(1, 9)))
        case "CRLF":
            return content.replace(b"\n", b"\r\n")
        case "CR":
            return content.replace(b"\n", b"\r")
        case "odd line":
            return content + draw(ODD_LINES) + lines_of(draw(RECORDS))
        case "bytes":
            return draw(st.binary(max_size=200))
        case "other end":
            return content + draw(st.binary(max_size=30))
        case "one line":
            return content.replace(b"\n", b" ")
    return content


def complete_records(content: bytes) -> dict[str, object] | None:
    """The records of the lines that are whole, by an own reading; None when one of them is no record."""
    found: dict[str, object] = {}
    for line in content.split(b"\n")[:-1]:
        try:
            record = orjson.loads(line)
            key = record["key"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None
        if not isinstance(key, str) or b"\r" in line:
            return None
        found[key] = record
    return found


@many_cases
@given(files())
def test_no_file_loses_a_record_and_what_is_no_ledger_is_refused_and_stays_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "ledger-of-any-bytes.jsonl"
    path.write_bytes(content)
    expected = complete_records(content)

    def open_it() -> dict[str, object]:
        with Ledger(path) as ledger:
            return {key: ledger[key] for key in ledger._offsets}

    found, now = outcomes.of(open_it), path.read_bytes()
    whole, tail = content[: content.rfind(b"\n") + 1], content[content.rfind(b"\n") + 1 :]
    if found is None:
        assert now == content
        return
    assert expected is not None
    if now == content + b"\n":  # the last record only lacked its end
        assert complete_records(now) == found
    else:
        assert found == expected and now in (content, whole)
        if now != content:
            cut = tail.rstrip(b"\0")
            assert whole or cut.startswith(FIRST_BYTES)
            assert cut.startswith(FIRST_BYTES) or FIRST_BYTES.startswith(cut)
    with Ledger(path) as ledger:
        assert [record for record in ledger.records()] == [record for record in read_ledger(path)]
        ledger.append("one more", {"value": 1})
    with Ledger(path) as ledger:
        assert {key: ledger[key] for key in ledger._offsets} == found | {"one more": {"key": "one more", "value": 1}}


def test_a_folder_a_fifo_and_a_link_to_a_folder_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("folder", "fifo", "link"):
        with pytest.raises(UserError, match="no regular file; expected a ledger there"):
            Ledger(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "folder", "link"]


@many_cases
@given(st.lists(RECORDS, min_size=1, max_size=5), st.integers(0, 1500))
def test_on_a_full_disk_a_write_is_kept_or_refused_as_a_whole_and_the_same_writes_can_follow(
    tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes, groups: list[list[tuple[str, object]]], limit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "ledger-on-a-full-disk.jsonl"
    path.unlink(missing_ok=True)
    expected: dict[str, object] = {}
    with Ledger(path) as ledger:
        for group in groups:
            records = [(key, {"value": value}) for key, value in group]
            before = path.read_bytes()
            kept: list[bool] = []

            def keep(records: list[tuple[str, Any]] = records, kept: list[bool] = kept) -> None:
                ledger.extend(records)
                kept.append(True)

            with files_of_at_most(limit):
                outcomes.of(keep)
            if not kept:
                assert path.read_bytes() == before
                ledger.extend(records)  # room was made
            expected |= {key: {"key": key, **record} for key, record in records}
            assert {key: ledger[key] for key in ledger._offsets} == expected
    assert path.read_bytes() == b"".join(lines_of(group) for group in groups)
