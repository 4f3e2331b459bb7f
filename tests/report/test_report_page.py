"""The report of a run as one page: it shows the scores as they are, loads nothing, and hostile texts stay texts."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser import browser as browser
from conftest import copy_of
from sharegpt4v import layout
from sharegpt4v.config import load
from sharegpt4v.files import read_jsonl, write_jsonl
from sharegpt4v.miniature import NOTICE
from sharegpt4v.report.page import MOST_BYTES
from sharegpt4v.stages.report import run as write_report

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

HOSTILE = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script> & 'quoted'"
PHONE = 390  # pixels wide


@pytest.fixture
def page(smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The report of a run whose captions are all hostile and whose first image of SAM is gone."""
    folder = copy_of(smoke, tmp_path / "run")
    for shard in folder.glob("data/captions/*.jsonl"):
        write_jsonl(shard, [row | {"caption": HOSTILE} for row in read_jsonl(shard)])
    for image in (folder / "data/sam").rglob("*.jpg"):
        image.unlink()
    monkeypatch.chdir(folder)
    write_report(load(layout.RUN_CONFIG))
    return folder / layout.REPORT


def test_the_report_of_a_run_is_what_its_files_say_and_the_same_again(smoke: Path, page: Path) -> None:
    whole = (smoke / layout.REPORT).read_text("utf-8")
    assert whole.index(NOTICE) < whole.index("<h1>")
    with open(smoke / layout.TABLE, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for column, value in row.items():
                shown = re.search(rf'aria-label="{re.escape(row["model"])}, {re.escape(column)}: ([^ ;]+)', whole)
                assert column == "model" or (shown and shown[1] == value), (row["model"], column)
    scores = json.loads((smoke / layout.SCORES / "llava-7b/gqa.json").read_text())
    assert scores["answers_sha256"] in whole and scores["model_sha256"] in whole
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:|//)", whole)
    assert len(whole.encode()) < MOST_BYTES
    assert "<script" not in whole

    before = page.read_bytes()
    write_report(load(layout.RUN_CONFIG))
    assert page.read_bytes() == before


def test_texts_of_others_stay_texts_and_a_lost_image_is_named(page: Path) -> None:
    html = page.read_text("utf-8")
    assert "<script" not in html and "<img src=x" not in html
    assert html.count("&lt;script&gt;") >= 3
    assert "image missing: data/sam/" in html


def test_a_run_without_captions_says_what_it_leaves_out(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    monkeypatch.chdir(folder)
    document = json.loads(layout.RUN_CONFIG.read_text())
    (folder / "config.json").write_text(json.dumps(document | {"substitution": []}))
    write_report(load(Path("config.json")))
    html = layout.REPORT.read_text("utf-8")
    assert "the config names no pair of models under `substitution`" in html


def test_the_report_in_a_browser(page: Path, browser: WebDriver) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.get(page.as_uri())
    assert browser.title == "Report of smoke"
    assert browser.find_element(By.CSS_SELECTOR, ".notice").text == NOTICE
    assert not [entry for entry in browser.execute("getLog", {"type": "browser"})["value"]]
    assert HOSTILE in [shown.text for shown in browser.find_elements(By.CSS_SELECTOR, "dd.text")]

    button = browser.find_element(By.CSS_SELECTOR, ".cell[aria-label^='llava-7b, GQA:']")
    told = browser.find_element(By.ID, button.get_attribute("popovertarget") or "")
    assert not told.is_displayed()
    button.click()
    assert told.is_displayed() and "SHA-256 of the answers" in told.text
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not told.is_displayed()
    button.send_keys(Keys.ENTER)
    assert told.is_displayed()

    light = background(browser)
    for command, options in (
        ("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
        ("Emulation.setDeviceMetricsOverride", {"width": PHONE, "height": 800, "deviceScaleFactor": 1, "mobile": True}),
    ):
        browser.execute_cdp_cmd(command, options)
    assert background(browser) != light
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE


def background(browser: WebDriver) -> str:
    """The colour of the page."""
    return str(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
