"""The site of the docs: built without a warning, every page in its navigation, nothing loaded from elsewhere."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

from conftest import BIN, PROJECT, run
from sharegpt4v import reference


def pages(nav: object) -> list[str]:
    """The pages of a navigation, however deep."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []
    return [page for part in parts for page in pages(part)]


def test_every_page_is_in_the_navigation_once() -> None:
    site = tomllib.loads((PROJECT / "zensical.toml").read_text("utf-8"))["project"]
    found = sorted(path.relative_to(PROJECT / "docs").as_posix() for path in (PROJECT / "docs").rglob("*.md"))
    assert sorted(pages(site["nav"])) == found


def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "docs", tmp_path / "docs")
    shutil.copy(PROJECT / "zensical.toml", tmp_path)
    ended = run([str(BIN / "zensical"), "build", "--strict"], tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    built = [path.read_text("utf-8") for path in (tmp_path / "site").rglob("*.html")]
    assert len(built) > len(pages(tomllib.loads((tmp_path / "zensical.toml").read_text())["project"]["nav"])) - 1
    assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="?https?://', "".join(built))
    (tmp_path / "docs/runs.md").write_text("[a page](nowhere.md)\n")
    assert run([str(BIN / "zensical"), "build", "--strict"], tmp_path).returncode != 0


def test_the_page_of_commands_is_what_the_parser_says() -> None:
    assert reference.PAGE.name == "commands.md"
    assert (PROJECT / reference.PAGE).read_text("utf-8") == reference.page(), reference.COMMAND
