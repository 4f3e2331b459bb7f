"""The page of `s4v review` in a real browser: it opens, filters, takes verdicts by keys, and shows HTML as text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser import browser as browser
from conftest import ENVIRONMENT
from image_files import picture
from sharegpt4v.files import read_jsonl, write_jsonl

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

SECONDS = 5
HOSTILE = "<img src=x onerror=\"document.title='pwned'\"><b>bold</b> & 'quoted'"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command on 120 captions of two sources, the third of them hostile; its address, and its process."""
    rows = []
    for number in range(120):
        source, caption = "sam" if number % 2 else "coco", HOSTILE if number == 2 else f"caption {number}"
        (tmp_path / "data" / source).mkdir(parents=True, exist_ok=True)
        (tmp_path / f"data/{source}/{number}.png").write_bytes(picture(number))
        row = {"image": f"{source}/{number}.png", "sha256": "", "caption": caption, "status": "accepted"}
        rows.append(row | {"reason": None})
    write_jsonl(tmp_path / "data/captions/0.jsonl", rows)
    command = [sys.executable, "-m", "sharegpt4v.cli", "review", "data/captions", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1], process
        process.kill()


def test_a_person_looks_over_captions(
    server: tuple[str, subprocess.Popen[str]], tmp_path: Path, browser: WebDriver
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select, WebDriverWait

    address, process = server

    def text(name: str) -> str:
        return browser.find_element(By.ID, name).text

    def becomes(name: str, wanted: str | Callable[[str], bool]) -> None:
        passes = wanted if callable(wanted) else wanted.__eq__
        try:
            WebDriverWait(browser, SECONDS).until(lambda _: passes(text(name)))
        except Exception:
            raise AssertionError(f"{name} is {text(name)!r}, not {wanted!r}; {text('message')}") from None

    def press(*keys: str) -> None:
        for key in keys:
            browser.switch_to.active_element.send_keys(key)

    def verdicts() -> list[tuple[str, str | None, str | None]]:
        return [(row["image"], row["verdict"], row["reason"]) for row in read_jsonl(tmp_path / "reviewed.jsonl")]

    browser.get(address)
    becomes("place", "1 of 120")
    assert text("caption") == "caption 0" and text("name") == "coco/0.png"
    shown = browser.find_element(By.ID, "picture")
    WebDriverWait(browser, SECONDS).until(lambda _: shown.get_property("naturalWidth") == 8)

    press("j", Keys.ARROW_RIGHT)
    becomes("place", "3 of 120")
    assert text("caption") == HOSTILE and browser.title == "Review of data/captions"
    assert not browser.find_elements(By.CSS_SELECTOR, "#caption *, #list li *")

    press("2")
    becomes("place", "4 of 120")
    assert verdicts() == [("coco/2.png", "rejected", "wrong detail")]
    press("a", "k")
    becomes("verdict", "✓ accepted")
    assert verdicts()[1:] == [("sam/3.png", "accepted", None)]
    press("u")
    becomes("verdict", "no verdict")
    assert verdicts()[2:] == [("sam/3.png", None, None)]

    Select(browser.find_element(By.NAME, "verdict")).select_by_value("rejected")
    becomes("place", "1 of 1")
    Select(browser.find_element(By.NAME, "verdict")).select_by_value("")
    Select(browser.find_element(By.NAME, "source")).select_by_value("sam")
    becomes("place", "1 of 60")
    browser.execute_script("document.activeElement.blur()")
    press("k")  # there is none in front
    becomes("message", "This is the first caption.")
    press(*"j" * 50)
    becomes("place", "51 of 60")  # on the second page
    (tmp_path / "data/sam/119.png").unlink()
    press("k", "/", *"caption 119")
    becomes("place", "1 of 1")
    assert text("caption") == "caption 119"
    becomes("no-picture", "The image is not there. --images says below which folder.")
    browser.refresh()
    becomes("place", "1 of 1")  # the filter stays

    process.kill()
    process.wait()
    press("a")
    becomes("message", lambda told: told.startswith("The server does not answer"))
    assert len(verdicts()) == 3
    logged = [entry["message"] for entry in browser.execute("getLog", {"type": "browser"})["value"]]
    assert all("CONNECTION_REFUSED" in one or "/image/119" in one for one in logged), logged
