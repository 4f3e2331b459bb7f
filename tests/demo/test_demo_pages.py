"""Both pages of the demo in a real browser: asked by the keyboard, answers stay text, nothing of others is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest

from browser import browser as browser
from conftest import ENVIRONMENT, run
from demo_environment import gradio as gradio
from sharegpt4v.files import read_jsonl
from sharegpt4v.miniature import NOTICE, RECORD
from streaming_endpoint import FAILS, SLOW, Endpoint, streaming_endpoint
from tiny_llava import write_llava, write_pictures

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

SECONDS = 60
PIECES = ["<img src=x onerror=\"document.title='pwned'\">", " <b>bold</b>", " & 'quoted'", " **no mark-up**"]
HOSTILE = "".join(PIECES)

pytestmark = pytest.mark.usefixtures("gradio")


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`s4v demo` in a folder, at a free port: its address, and its process, which a signal ends."""
    command = [sys.executable, "-m", "sharegpt4v.cli", "demo", *arguments, "--port", "0"]
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = next((line for line in process.stdout if line.startswith("open ")), "")
        assert said, "the page did not come up"
        try:
            yield said.split()[1], process
        finally:
            process.terminate()
            process.wait(SECONDS)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A served model that answers everything in hostile pieces; slowly and at length where it is asked so."""
    with streaming_endpoint(lambda question: PIECES * (100 if question.startswith(SLOW) else 1)) as served:
        yield served


def wait(browser: WebDriver, wanted: Callable[[], Any]) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, SECONDS).until(lambda _: wanted())


def find(browser: WebDriver, selector: str) -> WebElement:
    """The first element that is there, as soon as it is."""
    from selenium.webdriver.common.by import By

    found = wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, selector))
    return found[0]  # type: ignore[no-any-return]


def upload(browser: WebDriver, place: str, *files: Path) -> None:
    find(browser, f"{place} input[type=file]").send_keys("\n".join(map(str, files)))


def hosts(browser: WebDriver) -> set[str]:
    """Whom the page has asked for anything."""
    addresses = browser.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    return {str(urlsplit(one).hostname) for one in addresses if one.startswith("http")}


def test_a_conversation_about_an_image(tmp_path: Path, browser: WebDriver, endpoint: Endpoint) -> None:
    from selenium.webdriver.common.keys import Keys

    image = tmp_path / next(iter(write_pictures(tmp_path, 1)))
    with demo(tmp_path, "chat", "--base-url", endpoint.base_url, "--model", "served") as (address, process):
        browser.get(address)
        question = find(browser, "#question textarea, #question input")
        upload(browser, "#image", image)
        find(browser, "#image img")
        question.send_keys("What is this?", Keys.ENTER)
        chat = find(browser, "#chat")
        wait(browser, lambda: HOSTILE in chat.text)
        question.send_keys("And <i>why</i>?", Keys.ENTER)
        wait(browser, lambda: chat.text.count(HOSTILE) == 2)
        assert "And <i>why</i>?" in chat.text and browser.title == "Chat with served"
        assert hosts(browser) == {"127.0.0.1"}
        question.send_keys(f"{FAILS} <b>at once</b>", Keys.ENTER)
        wait(browser, lambda: f"cannot answer {FAILS} <b>at once</b>" in find(browser, "body").text)
        turns = endpoint.asked[1]["messages"]
        assert [turn["role"] for turn in turns] == ["user", "assistant", "user"] and turns[1]["content"] == HOSTILE
        assert turns[0]["content"][0]["image_url"]["url"].startswith("data:image/")

        find(browser, "#new").click()
        wait(browser, lambda: HOSTILE not in chat.text)
        question.send_keys(SLOW, Keys.ENTER)
        wait(browser, lambda: HOSTILE in chat.text)
        find(browser, "#stop").click()
        wait(browser, lambda: endpoint.left == [SLOW])
        question.send_keys("What was that?", Keys.ENTER)
        wait(browser, lambda: chat.text.rstrip().endswith(HOSTILE) and "What was that?" in chat.text)
        kept = endpoint.asked[-1]["messages"]  # what was written before the stop is part of the conversation
        assert [turn["role"] for turn in kept] == ["user", "assistant", "user"]
        assert kept[0]["content"][1]["text"] == SLOW and kept[1]["content"].startswith(PIECES[0])

        pages = psutil.Process(process.pid).children(recursive=True)
        process.kill()  # the page goes with the command, whatever ends that
        process.wait()
        gone, alive = psutil.wait_procs(pages, SECONDS)
        assert gone and not alive


def test_captions_of_one_image_and_of_many(tmp_path: Path, browser: WebDriver, endpoint: Endpoint) -> None:
    images = [tmp_path / name for name in write_pictures(tmp_path, 3)]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    with demo(tmp_path, "caption", "--base-url", endpoint.base_url, "--model", "served") as (address, _):
        browser.get(address)
        upload(browser, "#image", images[0])
        find(browser, "#image img")
        find(browser, "#describe").click()
        caption = find(browser, "#caption textarea")
        wait(browser, lambda: caption.get_attribute("value") == HOSTILE)

        find(browser, "[role=tab]:nth-of-type(2)").click()
        upload(browser, "#files", *images, broken)
        wait(browser, lambda: all(one.stem in find(browser, "#files").text for one in (*images, broken)))
        find(browser, "#describe-all").click()
        progress = find(browser, "#progress textarea")
        wait(browser, lambda: (progress.get_attribute("value") or "").startswith("4 of 4 images, 1 without a caption"))
        table = find(browser, "#table")
        wait(browser, lambda: table.text.count(HOSTILE) == 3)
        assert browser.title == "Caption with served" and hosts(browser) == {"127.0.0.1"}
        allowed = {"behavior": "allow", "downloadPath": str(tmp_path / "home")}
        browser.execute_cdp_cmd("Page.setDownloadBehavior", allowed)
        find(browser, "#download").click()
        home = tmp_path / "home/captions.jsonl"
        wait(browser, home.exists)
        rows = list(read_jsonl(home))
        assert [row.get("caption") for row in rows] == [HOSTILE] * 3 + [None]
        assert "broken.png: not an image that can be read" in rows[3]["error"]


def test_a_checkpoint_of_the_miniature_says_so_first(tmp_path: Path, browser: WebDriver) -> None:
    from selenium.webdriver.common.keys import Keys

    folder = write_llava(tmp_path / "model")
    (folder / "provenance.json").write_text(json.dumps(RECORD))
    with demo(tmp_path, "chat", "--model", str(folder)) as (address, _):
        browser.get(address)
        assert find(browser, "#notice").text == NOTICE
        find(browser, "#question textarea, #question input").send_keys("What is this?", Keys.ENTER)
        wait(browser, lambda: len(find(browser, "#chat").text.splitlines()) > 2)


def test_without_a_model_or_its_environment_there_is_one_line(tmp_path: Path) -> None:
    ended = run(["s4v", "demo", "caption", "--model", "nowhere"], tmp_path)
    assert ended.returncode == 1 and len(ended.stderr.splitlines()) == 1 and "nowhere" in ended.stderr
    assert not (tmp_path / ".work/demo").exists()
