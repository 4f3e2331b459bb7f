"""The MLflow page in a real browser, as `make browse` serves it: two runs side by side."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from browser import browser as browser
from conftest import PROJECT, copy_of, serving
from sharegpt4v.config import load
from sharegpt4v.evaluation.table import COLUMNS
from sharegpt4v.tracking.job_runs import pipeline_run
from sharegpt4v.tracking.tracker import track

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

SECONDS = 120
MODELS = ("llava-7b", "llava-7b_sharegpt4v", "sharegpt4v-7b")  # MLflow knows no "+"

# The table of metrics holds only the lines that can be seen: this reads them, and scrolls on.
LINES = """
const first = [...document.querySelectorAll("a[title='Plot chart']")][0];
if (!first) return null;
const grids = [...first.closest(".CompareRunView").querySelectorAll(".ReactVirtualized__Grid")]
    .filter(grid => first.closest(".du-bois-light-collapse-item").contains(grid));
const cells = [];
for (const [number, grid] of grids.entries())
    for (const cell of grid.firstElementChild?.children ?? [])
        cells.push([cell.style.top, number * 10000 + parseInt(cell.style.left), cell.innerText.trim()]);
grids[grids.length - 1].scrollTop += 200;
return cells;
"""


def test_comparing_two_runs_shows_the_columns_side_by_side(
    smoke: Path, tmp_path: Path, free_port: int, browser: WebDriver
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    second = copy_of(smoke, tmp_path / "second")  # a second run, whose scores are other ones
    for path in (second / "results/scores").glob("*/gqa.json"):
        score = json.loads(path.read_text())
        path.write_text(json.dumps(score | {"columns": {"GQA": score["columns"]["GQA"] + 1.5}}))
    config = load(smoke / ".work/config.json")
    for folder in (smoke, second):
        assert track(f"sqlite:///{tmp_path}/mlflow.db", "sharegpt4v", pipeline_run(folder, config), []).complete

    def wait_for(selector: str, count: int) -> list[WebElement]:
        def enough(browser: WebDriver) -> list[WebElement] | None:
            found = browser.find_elements(By.CSS_SELECTOR, selector)
            return found if len(found) >= count else None

        return WebDriverWait(browser, SECONDS).until(enough, f"{selector} on {browser.current_url}") or []

    uri = f"http://127.0.0.1:{free_port}"
    installed = ["-o", ".venv/installed", "-o", ".venv-img2dataset/installed"]  # tests install nothing
    command = ["make", *installed, "browse", f"RUN={tmp_path}", f"PORT={free_port}"]
    with serving(command, PROJECT, tmp_path, uri):
        browser.get(f"{uri}/#/experiments/1/runs")
        boxes = wait_for("input[aria-label^='Press Space to toggle row selection']", 2)
        for box in boxes[:2]:
            browser.execute_script("arguments[0].click()", box)
        wait_for("[data-testid='runs-compare-button']", 1)[0].click()
        wait_for(".CompareRunView a[title='Plot chart']", 1)
        table = metrics_shown(browser)
    for model in MODELS:
        for column in COLUMNS:
            values = table[f"{model}/{column}"]
            assert len(values) == 2 and all(float(value) >= 0 for value in values)
            assert (len(set(values)) == 2) == (column == "GQA")


def metrics_shown(browser: WebDriver) -> dict[str, list[str]]:
    """The values of the runs by metric, in the order of the page, as far as one can scroll."""
    found: dict[str, dict[int, str]] = {}
    until, still = time.monotonic() + SECONDS, 0
    while still < 3 and time.monotonic() < until:
        before = sum(map(len, found.values()))
        for top, place, text in browser.execute_script(LINES):
            found.setdefault(top, {})[place] = text
        still = still + 1 if sum(map(len, found.values())) == before else 0
        time.sleep(0.3)
    lines = [[cells[place] for place in sorted(cells)] for cells in found.values()]
    return {name: values for name, *values in lines}
