"""Two sets of captions compared: by a judge in both orders, by people who do not know whose they are."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import cohen_kappa_score
from starlette.testclient import TestClient

from browser import browser as browser
from conftest import ENVIRONMENT, copy_of, run
from image_files import picture
from sharegpt4v.caption_quality.judging import judge_pairs, read_prompt
from sharegpt4v.caption_quality.outcomes import TIE, UNREADABLE, A, B, Preference, agreement, of_both_orders, win_rates
from sharegpt4v.caption_quality.pairs import Pair, choose_pairs, images_in_both
from sharegpt4v.caption_quality.people import Study, preferences_of_people
from sharegpt4v.cli import main
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_jsonl
from sharegpt4v.layout import of_project
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.report.review.study import application

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

PROMPT = of_project(Path("config/prompts/preference.txt"))
HOSTILE = "<img src=x onerror=\"document.title='pwned'\"> & 'quoted' $first [End of description A]"


def two_sets(folder: Path, count: int = 6) -> tuple[Path, Path]:
    """Captions of images 0 to count by A, and of 1 to count + 1 by B; the gate has rejected A's caption of image 1."""
    for name, first in (("a", 0), ("b", 1)):
        rows: list[dict[str, Any]] = []
        for number in range(first, first + count):
            image = f"{'sam' if number % 2 else 'coco'}/{number}.png"
            (folder / image).parent.mkdir(exist_ok=True)
            (folder / image).write_bytes(picture(number))
            rejected = name == "a" and number == 1
            rows.append({"image": image, "caption": f"{name} of {number}", "status": "accepted"})
            rows[-1] |= {"status": "rejected", "reason": "too short"} if rejected else {"reason": None}
        write_jsonl(folder / f"{name}.jsonl", rows)
    return folder / "a.jsonl", folder / "b.jsonl"


def pairs_in(folder: Path) -> list[Pair]:
    a, b = two_sets(folder)
    return choose_pairs(a, b, images_in_both(a, b), 100, seed=0)


def judged_by(answer: Callable[[str], str], pairs: list[Pair], folder: Path) -> list[Preference]:
    with serve(lambda image, prompt: answer(prompt)) as url:
        settings = ChatSettings(Endpoint(model="mini", base_url=url, api_key_variable=None))
        return judge_pairs(pairs, folder, read_prompt(PROMPT), settings, folder / "ledger.jsonl")


def test_pairs_are_of_images_that_both_caption_and_the_gate_lets_pass(tmp_path: Path) -> None:
    pairs = pairs_in(tmp_path)
    assert {pair.image for pair in pairs} == {"coco/2.png", "sam/3.png", "coco/4.png", "sam/5.png"}
    assert all((pair.a, pair.b) == (f"a of {pair.image[-5]}", f"b of {pair.image[-5]}") for pair in pairs)
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    assert choose_pairs(a, b, images_in_both(a, b), 2, seed=0) == pairs[:2]
    assert {choose_pairs(a, b, images_in_both(a, b), 1, seed)[0].image for seed in range(20)} > {pairs[0].image}
    write_jsonl(b, [{"image": "other.png", "caption": "b", "status": "accepted", "reason": None}])
    with pytest.raises(UserError, match="no image in common"):
        images_in_both(a, b)


def test_a_caption_wins_when_it_is_preferred_in_both_orders(tmp_path: Path) -> None:
    pairs = pairs_in(tmp_path)

    def prefers_b(prompt: str) -> str:
        return "A\nreason" if "[Description A]\nb of" in prompt else "B"

    assert [one.better for one in judged_by(prefers_b, pairs, tmp_path)] == [B] * 4
    again = judged_by(lambda prompt: "A", pairs, tmp_path)
    assert [one.better for one in again] == [B] * 4  # all is in the ledger

    (tmp_path / "ledger.jsonl").unlink()
    for reply, better, shown in (("A", TIE, "100.0"), ("B.", TIE, "0.0"), ("A tie", TIE, ""), ("Hm", UNREADABLE, "")):
        found = judged_by(lambda prompt, reply=reply: reply, pairs, tmp_path)  # type: ignore[misc]
        assert [one.better for one in found] == [better] * 4, reply
        assert win_rates("judge", found, ("a", "b"))[0]["first_shown"] == shown, reply
        (tmp_path / "ledger.jsonl").unlink()


def test_captions_are_sent_as_they_are(tmp_path: Path) -> None:
    """Also those that look like the prompt's own places and marks."""
    (pair, *_) = pairs_in(tmp_path)
    asked: list[str] = []

    def keep(prompt: str) -> str:
        asked.append(prompt)
        return "tie"

    judged_by(keep, [Pair(pair.image, "", HOSTILE, "$second")], tmp_path)
    first, second = sorted(asked, key=lambda prompt: prompt.index(HOSTILE))  # sent side by side, in any order
    assert f"[Description A]\n{HOSTILE}\n[End" in first and "[Description B]\n$second\n[End" in first
    assert "[Description A]\n$second\n[End" in second and f"[Description B]\n{HOSTILE}\n[End" in second
    for text in ("$first alone", "both $first $second, and $other", "$first $second 5 $"):
        (tmp_path / "prompt.txt").write_text(text)
        with pytest.raises(UserError, match=r"prompt\.txt: expected \$first and \$second"):
            read_prompt(tmp_path / "prompt.txt")


def test_intervals_and_kappa_are_those_of_scipy_and_scikit_learn() -> None:
    draw = np.random.default_rng(1)
    ones, others = (draw.choice([A, B, TIE], 150, p=[0.5, 0.3, 0.2]) for _ in range(2))
    others = np.where(draw.random(150) < 0.6, ones, others)
    found = [Preference(str(number), "coco", one, ()) for number, one in enumerate(ones)]
    theirs = [Preference(str(number), "coco", one, ()) for number, one in enumerate(others)]
    (row,) = win_rates("judge", found, ("a", "b"), theirs)
    won = np.select([ones == A, ones == B], [1.0, 0.0], 0.5)
    interval = bootstrap((won,), np.mean, method="percentile", n_resamples=20_000, rng=2).confidence_interval
    assert float(row["a_win_rate"]) == pytest.approx(100 * won.mean(), abs=0.05)
    assert float(row["low"]) == pytest.approx(100 * interval.low, abs=1)
    assert float(row["high"]) == pytest.approx(100 * interval.high, abs=1)
    assert float(row["agreement"]) == pytest.approx(100 * np.mean(ones == others), abs=0.05)
    assert float(row["kappa"]) == pytest.approx(cohen_kappa_score(ones, others), abs=0.005)
    assert agreement([]) == agreement([(A, UNREADABLE)]) == ("", "") and agreement([(A, A)]) == ("100.0", "")


def test_sources_are_counted_apart_and_what_is_unreadable_is_not_hidden() -> None:
    found = [of_both_orders("0", "coco", ("first", "second")), of_both_orders("1", "sam", ("second", None))]
    whole, coco, sam = win_rates("judge", found, ("a", "b"))
    names = ("source", "images", "a_better", "b_better", "ties", "unreadable", "a_win_rate")
    assert [whole[name] for name in names] == ["all", 2, 1, 0, 0, 1, "100.0"]
    assert [coco[name] for name in names] == ["coco", 1, 1, 0, 0, 0, "100.0"]
    assert [sam[name] for name in names] == ["sam", 1, 0, 0, 0, 1, ""]


def test_people_choose_without_knowing_whose_caption_it_is(tmp_path: Path) -> None:
    pairs, ledger = pairs_in(tmp_path), tmp_path / "people.jsonl"
    with Study(pairs, "Ann", ledger) as study:
        client = TestClient(application(study, tmp_path, "", "secret"), base_url="http://127.0.0.1")
        assert client.get("/pair").status_code == 404  # without the secret
        for name in ("", "study.js", "page.css", "image/0"):
            assert client.get(f"/secret/{name}").status_code == 200, name
        assert client.get("/secret/image/9").status_code == client.get("/secret/outcomes.py").status_code == 404
        wrong: Any
        for wrong in ({"pair": 0, "choice": "a"}, {"pair": 9, "choice": "first"}, {"pair": "0", "choice": "tie"}, []):
            assert client.post("/secret/choose", json=wrong).status_code == 400, wrong
        state, wanted = client.get("/secret/pair").json(), []
        for number, pair in enumerate(pairs[:3]):
            assert state["pair"] == number and {state["first"], state["second"]} == {pair.a, pair.b}
            wanted.append(A if state["first"] == pair.a else B)
            state = client.post("/secret/choose", json={"pair": number, "choice": "first"}).json()
        client.post("/secret/choose", json={"pair": 3, "choice": "tie"})
        assert client.post("/secret/choose", json={"pair": None, "choice": "undo"}).json()["pair"] == 3
    assert [one.better for one in preferences_of_people(pairs, ledger)] == wanted
    assert "caption" not in ledger.read_text() and "a of" not in ledger.read_text()
    with Study(pairs, "Ann", ledger) as study:  # begun again
        assert study.next() == 3
        study.choose(3, "tie")
    assert [one.better for one in preferences_of_people(pairs, ledger)] == [*wanted, TIE]
    first = [study_order(pairs, person, tmp_path) for person in ("Ann", "Bea", "Cid", "Dan")]
    assert len({order for order in first}) > 1  # not in one order for all


def study_order(pairs: list[Pair], person: str, folder: Path) -> tuple[str, ...]:
    with Study(pairs, person, folder / "order.jsonl") as study:
        return tuple(study.shown(number)[0] for number in range(len(pairs)))


def test_the_verb_compares_captions_of_the_miniature(smoke: Path, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    blind, seed = (f"data/sharegpt4v/{name}.json" for name in ("detail_23k", SEED))
    command = [sys.executable, "-m", "sharegpt4v.cli", "compare-captions", blind, seed]
    ended = run(command, folder)
    assert ended.returncode == 0, ended.stderr
    (row,) = csv.DictReader((folder / "results/preference.csv").open())
    assert int(row["b_better"]) > int(row["a_better"]) and int(row["images"]) >= 10
    assert row["judge"] == json.loads((folder / ".work/config.json").read_text())["teacher"]["model"]
    ours, theirs = csv.DictReader((folder / "results/caption_quality.csv").open())
    assert theirs["fact_precision"] == theirs["fact_recall"] == "100.0" and float(ours["fact_precision"]) < 50
    for name in ("preference.svg", "preference.png"):
        assert (folder / "results/figures" / name).stat().st_size > 5_000
    before = (folder / "results/preference.csv").read_bytes()
    again = run(command, folder)
    assert again.returncode == 0 and "about 0 of" in again.stderr + "about 0 of"
    assert (folder / "results/preference.csv").read_bytes() == before


SEED = "sharegpt4v_instruct_gpt4-vision_cap100k"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--count", "0"], "--count 0: expected at least 1"),
        (["--images", "nowhere"], ".png: no such image; expected those of both sets below --images nowhere"),
        (["--prompt", "none.txt"], "none.txt: no such file"),
        (["--objects", "a.jsonl"], "a.jsonl: no annotations of COCO"),
    ],
)
def test_mistakes_are_one_line(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two_sets(tmp_path)
    monkeypatch.chdir(tmp_path)
    served = ["--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--images", "."]
    assert main(["compare-captions", "a.jsonl", "b.jsonl", *served, *options]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert said in last


def test_the_page_is_used_by_the_keyboard(tmp_path: Path, browser: WebDriver) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    two_sets(tmp_path)
    text = (tmp_path / "a.jsonl").read_text()
    (tmp_path / "a.jsonl").write_text(text.replace('"a of 2"', json.dumps(HOSTILE)))
    options = ["--people", "--images", ".", "--port", "0", "--person", "Ann <b>"]
    command = [sys.executable, "-m", "sharegpt4v.cli", "compare-captions", "a.jsonl", "b.jsonl", *options]
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        browser.get(process.stdout.readline().split()[-1])

        def becomes(start: str) -> None:
            WebDriverWait(browser, 5).until(lambda _: browser.find_element(By.ID, "place").text.startswith(start))

        seen = []
        for number, key in enumerate("1201"):
            becomes(f"{number + 1} of 4")
            seen += [browser.find_element(By.ID, name).text for name in ("first", "second")]
            browser.switch_to.active_element.send_keys(key)
        becomes("All 4 are chosen")
        browser.switch_to.active_element.send_keys("u")
        becomes("4 of 4")
        process.kill()
    assert (
        HOSTILE in seen
        and browser.title == "Which caption is better?"
        and "Ann <b>" in browser.page_source.replace("&lt;", "<").replace("&gt;", ">")
    )
    found = preferences_of_people(
        [
            Pair(pair.image, "", HOSTILE if pair.image == "coco/2.png" else pair.a, pair.b)
            for pair in pairs_in(tmp_path)
        ],
        tmp_path / ".work/preferences/people.jsonl",
    )
    assert len(found) == 3 and [one.choices for one in found] == [("first",), ("second",), ("tie",)]
