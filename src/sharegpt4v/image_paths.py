"""File names and paths that others wrote: archives, lists, folders, and the rows of corpora and manifests.

`inside` keeps a path below its folder, and is used wherever a row, a manifest or a page names an image. `safe_name`
cleans the name of a file that is about to be written. `escaped` makes any file name printable without making two equal.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sharegpt4v.errors import UserError

LONGEST_PATH = 2_048  # bytes; the system's limit is 4,096 with the folder in front
LONGEST_PART = 255  # bytes of one name, the limit of nearly all file systems
DEEPEST = 100  # folders
SHOWN = 80  # characters of a refused path in a message
BACKSLASH = "\\"
NOT_IN_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
ESCAPED = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")


def inside(root: Path, path: object) -> Path:
    """Return ``root / path`` when `path` names something below the folder `root`; otherwise raise a `UserError`.

    Only the text of the path counts. Links below `root` are the user's own, as to a larger disk: nothing that this
    project fetches or unpacks brings one.
    """
    problem = "no text" if not isinstance(path, str) else problem_in(path)
    if problem:
        shown = path[:SHOWN] if isinstance(path, str) else f"a value of type {type(path).__name__}"
        raise UserError(f"path {shown!r}: {problem}; expected a path below {root}")
    return root / str(path)


def problem_in(path: str) -> str:
    """Say why `path` does not stay below a folder or cannot be a file's; empty when it does."""
    if NOT_IN_TEXT.search(path):
        return "name with control characters or not UTF-8"
    parts = path.split("/")
    if not path or not parts[0]:
        return "absolute name" if path else "name is empty"
    if ".." in parts:
        return "name with '..'"
    if len(parts) > DEEPEST + 1:
        return f"more than {DEEPEST} folders deep"
    if len(path.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_PART for part in parts):
        return "name is too long"
    return ""


def safe_name(name: str) -> str:
    """Return `name` as a clean relative path with forward slashes; a ValueError says why it is refused."""
    name = name.replace(BACKSLASH, "/")
    clean = "/".join(part for part in name.split("/") if part not in ("", "."))
    if re.match(r"/|[A-Za-z]:/", name):
        raise ValueError("absolute name")
    if problem := problem_in(clean):
        raise ValueError(problem)
    return clean


def plain_name(name: str) -> str:
    """Return `name` when it can name a file in any folder: one part and nothing that leads elsewhere.

    A ValueError says why it is refused. Names that Windows keeps for devices are refused too, for disks are shared.
    """
    if "/" in name or BACKSLASH in name:
        raise ValueError("name with a slash")
    if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name):
        raise ValueError("name of a device")
    if name == "." or (problem := problem_in(name)):
        raise ValueError("no name of a file" if name == "." else problem)
    return name


def escaped(name: str) -> str:
    r"""Return a file name as printable text: ``\xff`` for a byte that is not UTF-8, ``\u000a`` for a control character.

    A backslash becomes ``\u005c``, so different names stay different: the name can be told from the text.
    """
    return ESCAPED.sub(_escape, name)


def refused_name(name: str) -> str:
    r"""Return the name of something that must not be written, in a form that leads nowhere.

    Slashes are escaped too, so that it differs from every name that `safe_name` returns.
    """
    text = escaped(name).replace("/", r"\u002f")
    return text if BACKSLASH in text else f"{BACKSLASH}{text}"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{os.fsencode(match[0])[0]:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
