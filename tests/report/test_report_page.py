"""The report of a run: it says what the files say, shows what others wrote as text, and works in a browser."""

from __future__ import annotations

import csv
import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser import browser as browser
from conftest import BIN, copy_of, run, snakemake
from sharegpt4v.config import load
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.table import COLUMNS, MORE_COLUMNS
from sharegpt4v.files import write_text
from sharegpt4v.miniature import NOTICE
from sharegpt4v.report.costs import Planned, Spent, costs_of
from sharegpt4v.report.headline import Counted, findings
from sharegpt4v.report.page import MOST_BYTES, shortened
from sharegpt4v.report.pictures import Pictures
from sharegpt4v.report.tables import read_csv
from sharegpt4v.report.timings import Timing

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

HOSTILE = """</dd><script>document.title='run'</script><img src=x onerror="document.title='run'">"'"""
SEEDS = "data/sharegpt4v/sharegpt4v_instruct_gpt4-vision_cap100k.json"


def report(folder: Path) -> str:
    """The report of a run, written anew."""
    ended = run([str(BIN / "s4v"), "stage", "report"], folder)
    assert ended.returncode == 0, ended.stderr
    return (folder / "results/report.html").read_text()


@pytest.fixture(scope="module")
def hostile(smoke: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose seed captions and rejected captions hold HTML, as does an answer; one image is gone, one broken."""
    folder = copy_of(smoke, tmp_path_factory.mktemp("hostile") / "run")
    rows = json.loads((folder / SEEDS).read_text())
    for row in rows:
        row["conversations"][-1]["value"] = HOSTILE
    (folder / SEEDS).write_text(json.dumps(rows))
    shard = folder / "data/captions/00001-of-00003.jsonl"
    captions = [json.loads(line) for line in shard.read_text().splitlines()]
    told = [row | {"caption": HOSTILE, "status": "rejected", "reason": "<b>loop</b>"} for row in captions]
    shard.write_text("".join(f"{json.dumps(row)}\n" for row in told))
    images = [folder / "data" / row["image"] for row in rows if row["image"].startswith("wikiart/")]
    assert len(images) == 4  # three are shown
    for number, image in enumerate(images):
        image.unlink() if number < 2 else image.write_bytes(b"no image")
    report(folder)
    return folder


def test_every_score_is_there_with_its_provenance(smoke: Path) -> None:
    page = html.unescape((smoke / "results/report.html").read_text())
    assert page.index(NOTICE) < page.index("<h1>") and page.count("popover id=") == 3 * len(COLUMNS + MORE_COLUMNS)
    for row in read_csv(smoke / "results/table.csv"):
        for column in COLUMNS:
            told = re.search(rf'aria-label="{re.escape(row["model"])}, {re.escape(column)}: ([\d.]+)', page)
            assert told and told[1] == row[column]
    known = read_csv(smoke / "results/scores.csv")
    assert {row["benchmark"] for row in known} >= {*COLUMNS, "POPE", "MMStar"}
    for row in known:
        assert row["answers_sha256"] in page and row["model_sha256"] in page and row["scorer"] in page
    for name in ("substitution", "datasets", "curves"):
        assert (smoke / f"results/figures/{name}.svg").exists()
    assert page.count("data:image/svg+xml") == len(list((smoke / "results/figures").rglob("*.svg")))
    for title in ("short", "blind (detail)", "teacher (seed)", "captioner"):
        assert f"<dt>{title}</dt>" in page


def test_it_loads_nothing_is_small_and_the_same_twice(smoke: Path, tmp_path: Path) -> None:
    page = (smoke / "results/report.html").read_text()
    assert not re.search(r"""\b(src|href|srcset|action)=["']?+(?!data:image/|#)""", page) and "<script" not in page
    assert not re.search(r"""url\(|@import|https?://(?!www\.w3\.org)""", page.partition("</style>")[0])
    assert len(page) < min(MOST_BYTES, 2_000_000)
    folder = copy_of(smoke, tmp_path / "run")
    assert report(folder) == report(folder)


def test_what_others_wrote_stays_text(hostile: Path) -> None:
    page = (hostile / "results/report.html").read_text()
    assert page.count(html.escape(HOSTILE, quote=False)[:40]) >= 5  # of both sets
    assert "<script" not in page and "<img src=x" not in page and "<b>" not in page
    assert "image missing: " in page and "image broken: " in page


def test_a_run_without_captions_and_pairs_says_what_is_left_out(smoke: Path, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    config = json.loads((folder / ".work/config.json").read_text())
    published = {"id": "a/b", "revision": None, "family": "llava"}
    taken = {"pretraining": "none", "mix": None, "substitution": "none", "published": published}
    config["models"] = [config["models"][0] | taken]
    config["substitution"], config["mini"] = [], None
    for section in ("teacher", "judge"):
        config[section]["base_url"] = "http://127.0.0.1:9/v1"
    (folder / "config.json").write_text(json.dumps(config))
    ended = run([str(BIN / "s4v"), "stage", "report", "--config", "config.json"], folder)
    assert ended.returncode == 0, ended.stderr
    page = (folder / "results/report.html").read_text()
    left = page.partition('<section id="left-out">')[2]
    for name in ("Gain of better captions", "Captions", "Answers", "Data sets"):
        assert f"<strong>{name}</strong>" in left
    assert NOTICE not in page and 'id="captions"' not in page


def test_findings_count_what_is_clear(tmp_path: Path) -> None:
    head = "model,benchmark,before,after,gain,paper_before,paper_after,paper_gain\n"
    rows = "A,GQA,10.0,20.0,10.0,,,\nA,MME-perception,500.0,520.0,20.0,,,\n"
    rows += "A,MM-Vet,9.0,5.0,-4.0,,,\nA,QBench,1.0,1.0,0.0,,,\n"
    (tmp_path / "substitution.csv").write_text(head + rows)
    errors = "model,benchmark,gain_stderr\nA,GQA,3.0\nA,MME-perception,20.0\nA,MM-Vet,1.0\nA,QBench,0.0\n"
    (tmp_path / "substitution_errors.csv").write_text(errors)
    (found,) = findings(tmp_path / "substitution.csv")
    assert (found.better, found.worse, found.equal) == (Counted(2, 1), Counted(1, 1), 1)
    assert found.gain == pytest.approx((10 + 1 - 4) / 4) and found.error == pytest.approx(11**0.5 / 4)
    (tmp_path / "substitution_errors.csv").write_text(errors.replace("A,GQA,3.0", "A,GQA,"))
    assert findings(tmp_path / "substitution.csv")[0].error is None
    assert findings(tmp_path / "nowhere.csv") == []


def test_costs_say_what_they_lack() -> None:
    planned = {"seed_captions": Planned(1, 0.0, 120.0, 0.1), "answers": Planned(3, 2.0, None, None)}
    spent = {"seed_captions": Spent(0.0, None, 0.1), "answers": Spent(1.5, 0.0, 0.0)}
    costs = costs_of(planned, spent, [Timing("answers", "answers/a", 9.0, None)], "H100")
    (_, *cells), (_, *others) = costs.tables[0].rows
    assert cells == ["1", "0", "0", "120", "not known", "0.1", "0.1"]
    assert others == ["3", "2", "1.5", "not known", "not known", "not known", "0"]
    assert [line.partition(":")[0] for line in costs.lacks] == ["seed_captions"] * 2 + ["answers"] * 2
    assert costs.tables[1].rows == [["answers", "1", "9 s", "not measured"]]


def test_pictures_keep_within_their_bound_and_tables_refuse_torn_rows(tmp_path: Path) -> None:
    write_text(tmp_path / "a.svg", "<svg/>")
    pictures = Pictures(50)
    assert pictures.of_svg(tmp_path / "a.svg", "a figure").uri and pictures.left < 50
    assert "too large: a figure" in pictures.of_svg(tmp_path / "a.svg", "a figure").problem
    assert shortened("x" * 3_100) == "x" * 3_000 + " … (100 more characters)"
    write_text(tmp_path / "torn.csv", "a,b\n1\n")
    with pytest.raises(UserError, match=r"torn\.csv, row 2"):
        read_csv(tmp_path / "torn.csv")


def test_it_works_in_a_browser(hostile: Path, browser: WebDriver) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def shows(selector: str) -> bool:
        return browser.find_element(By.CSS_SELECTOR, selector).is_displayed()

    def media(scheme: str, width: int) -> None:
        sizes = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", sizes)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    media("light", 1400)
    browser.get((hostile / "results/report.html").as_uri())
    assert browser.title == "Report of smoke"  # no script of a caption changed it
    assert browser.get_log("browser") == []  # type: ignore[attr-defined]
    with open(hostile / "results/table.csv", newline="") as file:
        first = next(csv.DictReader(file))
    button = browser.find_element(By.CSS_SELECTOR, "button[popovertarget=cell-0-0]")
    assert button.text.startswith(first[COLUMNS[0]]) and not shows("#cell-0-0")
    button.click()
    assert shows("#cell-0-0") and f"results/answers/{first['model']}" in browser.find_element(By.ID, "cell-0-0").text
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not shows("#cell-0-0")
    button = browser.find_element(By.CSS_SELECTOR, "button[popovertarget=cell-1-0]")
    browser.execute_script("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    assert shows("#cell-1-0")
    browser.switch_to.active_element.send_keys(Keys.ENTER)  # the button that closes it
    assert not shows("#cell-1-0")
    captions = [one.text for one in browser.find_elements(By.CSS_SELECTOR, "dd.text") if one.is_displayed()]
    assert HOSTILE in captions
    loaded = "return [...document.images].filter(one => one.complete && !one.naturalWidth).length"
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.execute_script(loaded) == 0
    color = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(color)
    media("dark", 390)
    assert browser.execute_script(color) != light
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def test_snakemakes_own_report_shows_the_tables(smoke: Path, tmp_path: Path) -> None:
    ended = run(snakemake(smoke, "--report", str(tmp_path / "snakemake-report.html")))
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "snakemake-report.html").read_text()
    for name in ("table", "substitution", "datasets", "mixture", "scores", "captions/seed"):
        assert f"results/tables/{name}.html" in page
    assert "results/figures/substitution.svg" in page and "standard error" in page.lower()


def test_the_config_of_the_miniature_gives_the_notice(smoke: Path) -> None:
    assert load(smoke / ".work/config.json").mini is not None
    for path in (smoke / "results/tables").rglob("*.html"):
        assert NOTICE in path.read_text()
