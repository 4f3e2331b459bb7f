"""The MLflow pages in a real browser, as `make browse` serves them: scores, losses, two models side by side."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from browser import browser as browser
from conftest import PROJECT, copy_of, serving
from sharegpt4v.config import load
from sharegpt4v.evaluation.table import COLUMNS
from sharegpt4v.tracking.job_runs import model_run
from sharegpt4v.tracking.tracker import track

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

SECONDS = 120
MODELS = ("llava-7b", "llava-7b+sharegpt4v", "sharegpt4v-7b")
INSTALLED = ("-o", ".venv/installed", "-o", ".venv-img2dataset/installed")  # tests install nothing

# By run: the cells that can be seen, by column.
CELLS = """
const rows = {};
for (const cell of document.querySelectorAll(".ag-cell")) {
    const row = cell.closest(".ag-row").getAttribute("row-id");
    (rows[row] ??= {})[cell.getAttribute("col-id")] = cell.innerText.trim().split("\\n").pop();
}
return rows;
"""
CHARTS = """
return [...document.querySelectorAll("[data-testid='draggable-chart-cards-grid'] .js-plotly-plot")]
    .map(chart => [chart.closest("[data-testid]").innerText, [...new Set((chart.data ?? []).map(line => line.name))]]);
"""
# The table of metrics holds only the lines that can be seen: this reads them, and scrolls on, at the end to the top.
LINES = """
const first = [...document.querySelectorAll("a[title='Plot chart']")][0];
if (!first) return null;
const grids = [...first.closest(".CompareRunView").querySelectorAll(".ReactVirtualized__Grid")]
    .filter(grid => first.closest(".du-bois-light-collapse-item").contains(grid));
const cells = [];
for (const [number, grid] of grids.entries())
    for (const cell of grid.firstElementChild?.children ?? [])
        cells.push([cell.style.top, number * 10000 + parseInt(cell.style.left), cell.innerText.trim()]);
const last = grids[grids.length - 1];
last.scrollTop = last.scrollTop + last.clientHeight >= last.scrollHeight ? 0 : last.scrollTop + 200;
return cells;
"""


def test_models_their_scores_and_losses_as_people_browse_them(
    smoke: Path, tmp_path: Path, free_port: int, browser: WebDriver
) -> None:
    second = copy_of(smoke, tmp_path / "second")  # a second run in the same store, whose scores are other ones
    for path in (second / "results/scores").glob("*/gqa.json"):
        score = json.loads(path.read_text())
        path.write_text(json.dumps(score | {"columns": {"GQA": score["columns"]["GQA"] + 1.5}}))
    config = load(smoke / ".work/config.json")
    again = [model_run(model, [], second, config) for model in config.models]
    shown = track(f"sqlite:///{second}/mlflow.db", "sharegpt4v", again)
    assert shown.complete
    first = json.loads((smoke / "results/mlflow_runs.json").read_text())

    uri = f"http://127.0.0.1:{free_port}"
    command = ["make", *INSTALLED, "browse", f"RUN={second}", f"PORT={free_port}"]
    with serving(command, PROJECT, tmp_path, uri):
        scores, curves = re.findall(r"http://\S+", (tmp_path / "server.log").read_text())[:2]

        browser.get(scores)
        rows = wait_for(browser, CELLS, lambda rows: len(rows) >= 7 and "metrics.`GQA`" in rows[first["llava-7b"]])
        assert {row["attributes.`Run Name`"] for row in rows.values()} == {"smoke", *MODELS}  # each job is below one
        for ids, folder in ((first, smoke), (shown.runs, second)):
            for model in MODELS:
                gqa = json.loads((folder / "results/scores" / model / "gqa.json").read_text())["columns"]["GQA"]
                assert abs(float(rows[ids[model]]["metrics.`GQA`"]) - gqa) < 0.001

        browser.get(curves)
        charts = wait_for(browser, CHARTS, lambda charts: any(lines for _, lines in charts if len(lines) > 5))
        trainings = {f"finetuning/{model}" for model in MODELS} | {"captioner", "alignment/7b", "pretraining/7b"}
        [overlaid] = [set(lines) for text, lines in charts if text.split("\n")[0] == "loss"]
        assert overlaid == trainings

        ids = [first["sharegpt4v-7b"], shown.runs["sharegpt4v-7b"]]
        browser.get(f"{uri}/#/compare-runs?runs={quote(json.dumps(ids))}&experiments={quote(json.dumps(['1']))}")
        wait_for(browser, LINES, bool)
        text = browser.find_element("css selector", ".CompareRunView").text
        assert re.search(r"Metrics:\s+GQA", text) and "loss" not in text  # what the first chart shows
        table = metrics_shown(browser)
    for column in COLUMNS:
        assert len(table[column]) == 2 and (len(set(table[column])) == 2) == (column == "GQA")


def wait_for(browser: WebDriver, script: str, enough: Callable[[Any], bool]) -> Any:
    """What a script returns once it is enough."""
    until = time.monotonic() + SECONDS
    while not (found := browser.execute_script(script)) or not enough(found):
        assert time.monotonic() < until, f"{browser.current_url}: {found}"
        time.sleep(0.3)
    return found


def metrics_shown(browser: WebDriver) -> dict[str, list[str]]:
    """The values of the runs by metric, in the order of the page, as far as one can scroll."""
    found: dict[str, dict[int, str]] = {}
    until, still = time.monotonic() + SECONDS, 0
    while (still < 5 or any(len(cells) < 3 for cells in found.values())) and time.monotonic() < until:
        before = sum(map(len, found.values()))
        for top, place, text in browser.execute_script(LINES):
            found.setdefault(top, {})[place] = text
        still = still + 1 if sum(map(len, found.values())) == before else 0
        time.sleep(0.3)
    lines = [[cells[place] for place in sorted(cells)] for cells in found.values()]
    return {name: values for name, *values in lines}
