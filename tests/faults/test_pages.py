"""Pages show what others wrote as text, and load nothing from elsewhere; so does each page that a run leaves."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from conftest import PROJECT
from harness import Outcomes, many_cases
from sharegpt4v.files import write_json
from sharegpt4v.image_paths import inside
from sharegpt4v.pages import in_markdown
from sharegpt4v.report.caption_page import caption_page
from sharegpt4v.seed_captions.review import write_review

HOSTILE = """</td><script>alert(1)</script><img src=x onerror=alert(1)>"'&lt;&#60;<!--<a href=javascript:alert(1)>"""
ALLOWED = {"html", "meta", "title", "style", "p", "strong", "table", "tr", "td", "th", "br", "small", "img"}
ATTRIBUTES = {"lang", "name", "charset", "http-equiv", "content", "loading", "alt", "src"}
OF_REPORTS = {
    "a", "body", "button", "code", "dd", "details", "div", "dl", "dt", "figcaption", "figure", "footer", "h1", "h2",
    "h3", "header", "li", "main", "nav", "p", "section", "span", "strong", "summary", "tbody", "thead", "ul",
}  # fmt: skip
ATTRIBUTES_OF_REPORTS = {
    "aria-label", "aria-labelledby", "autofocus", "class", "height", "href", "id", "open", "popover", "popovertarget",
    "popovertargetaction", "role", "scope", "tabindex", "type", "width",
}  # fmt: skip
texts = st.sampled_from([HOSTILE, "<b>", "\u202e", "]]>", "</title>", "</style>"]) | st.text(max_size=20)


class Page(HTMLParser):
    """The parts of a page, refused when it could run or fetch something."""

    def __init__(self, content: str, tags: set[str] = ALLOWED, attributes: set[str] = ATTRIBUTES) -> None:
        super().__init__()
        self.allowed, self.attributes = tags, attributes
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.policy = ""
        self.feed(content)
        self.close()
        assert content.index("Content-Security-Policy") < content.index("<title>")
        rules = dict(rule.strip().split(" ", 1) for rule in self.policy.split(";"))
        assert rules["default-src"] == "'none'" and "script-src" not in rules, self.policy
        assert set(rules["img-src"].split()) <= {"'self'", "data:", "file:"} and "unsafe" not in self.policy

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.allowed, tag
        found = dict(attrs)
        assert found.keys() <= self.attributes, attrs
        assert (found.get("href") or "#").startswith("#"), attrs
        source = found.get("src") or ""
        assert source.startswith("data:image/") or not re.match(r"(?i)\s*([a-z][a-z0-9+.-]*:|//)", source), source
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def report_page(content: str) -> Page:
    """The parts of a page that a template wrote, or of a plainer one."""
    return Page(content, ALLOWED | OF_REPORTS, ATTRIBUTES | ATTRIBUTES_OF_REPORTS)


def test_every_page_of_a_run(smoke: Path) -> None:
    pages = [path for path in smoke.rglob("*.html") if ".snakemake" not in path.parts]
    names = {path.name for path in pages}
    assert {"captions.html", "report.html", "table.html"} < names and any(
        name.endswith("rejected.html") for name in names
    ), names
    for path in pages:
        assert report_page(path.read_text()).tags.count("table") >= 1, path
    written = [path for path in (PROJECT / "src").rglob("*.py") if "<meta charset" in path.read_text().lower()]
    assert [path.name for path in written] == ["pages.py"]  # so there are no others


def test_any_text_in_any_place(tmp_path: Path, outcomes: Outcomes) -> None:
    path = tmp_path / "rejected.html"

    @many_cases
    @given(image=texts, source=texts, reason=texts, text=texts)
    def shown(image: str, source: str, reason: str, text: str) -> None:
        if outcomes.of(lambda: inside(tmp_path / "data", image)) is None:
            return  # pages show no image from elsewhere
        row = {"image": image, "source": source, "reason": reason, "text": text}
        write_review(path, [row], tmp_path / "data", {source: {reason: 1}})
        cells = Page(path.read_bytes().decode()).cells
        told = [source, "1", "image", "reason", "text", image, reason, text]
        assert [alike(cell) for cell in cells] == [alike(cell) for cell in ("source", reason, *told)]
        page = Page(caption_page([(image.replace("\0", ""), text)], tmp_path / "data"))
        assert alike(page.cells[1]) == alike(text + image.replace("\0", ""))
        line = in_markdown(text)
        assert "<" not in line and line.isprintable() and not re.search(r"(?<!\\)[|\[\]`]", line)

    shown()


def alike(text: str) -> str:
    """Without what HTML itself does not keep: line ends of other kinds, and a blank line at an end."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")


def test_a_score_file_of_others_in_the_table_page(tmp_path: Path) -> None:
    from sharegpt4v.evaluation.table_page import write_page

    columns = {"MM-Vet": 50.0}
    score = {
        "benchmark": HOSTILE, "split": HOSTILE, "scoring": "judge", "scorer": HOSTILE, "columns": columns,
        "n": {"MM-Vet": 4}, "stderr": {}, "interval": {}, "completeness": {}, "items": [],
        "parts": {"judge": {"model": f"{HOSTILE}\n# title | cell"}}, "missing": HOSTILE,
    }  # fmt: skip
    write_json(tmp_path / "scores/a/mm-vet.json", score)
    (tmp_path / "paper.csv").write_text("model,benchmark,value,source\n")
    write_page({"a": HOSTILE}, tmp_path / "scores", tmp_path / "paper.csv", tmp_path / "table.md")
    page = (tmp_path / "table.md").read_text()
    assert "<" not in page and "\n# title" not in page and HOSTILE.count("alert") * 5 <= page.count("alert")
