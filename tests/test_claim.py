"""The page on what better captions gain over several seeds: its numbers against numpy and scipy, on made-up tables."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import claim
import numpy as np
import pytest
import scipy.stats
from claim_runs import controls_of, covered, gains_of, means_of, pairs_of, read_run, whole_recipe, wins_of

from conftest import PROJECT
from sharegpt4v import layout
from sharegpt4v.config import Config, load
from sharegpt4v.evaluation.table import COLUMNS
from sharegpt4v.files import write_csv, write_json, write_text
from sharegpt4v.job_record import _path
from sharegpt4v.miniature import NOTICE

SEEDS = (10, 11, 13)
MODELS = [
    {"name": "plain", "size": "7b", "mix": "llava-665k"},
    {"name": "substituted", "size": "7b", "mix": "llava-665k", "substitution": "coco"},
    {"name": "unpretrained", "size": "7b", "mix": "llava-665k", "substitution": "all"},
    {"name": "whole", "size": "7b", "mix": "llava-665k", "substitution": "all", "pretraining": "captions"},
]
EMPTY = "QBench"


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    """A preset of four models, on drawn images."""
    pairs = [{"before": "plain", "after": "substituted"}]
    write_json(tmp_path / "four.yaml", {"base": str(PROJECT / "config/config.yaml"), "name": "four", "models": MODELS,
                                        "substitution": pairs})  # fmt: skip
    return tmp_path / "four.yaml"


def made_up(folder: Path, config: Config, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Write what a finished run leaves that the page reads, with scores drawn from the seed; return them by model."""
    drawn = np.random.default_rng(seed)
    scores = {
        str(model["name"]): np.round(drawn.normal(40 + 9 * place, 4, len(COLUMNS)), 1)
        for place, model in enumerate(MODELS)
    }
    for values in scores.values():
        values[COLUMNS.index("VizWiz")] = 1.5
    cells = {name: ["" if column == EMPTY else f"{value:.1f}" for column, value in zip(COLUMNS, row, strict=True)]
             for name, row in scores.items()}  # fmt: skip
    write_csv(folder / layout.TABLE, [["model", *COLUMNS], *([name, *row] for name, row in cells.items())])
    write_json(folder / layout.RUN_CONFIG, config.model_copy(update={"seed": seed}).model_dump(mode="json"))
    ran = (("tokenizer", ""), ("answers", "plain"), ("answers", "whole"))
    jobs = [{"stage": stage, "item": item, "log": "", "pending": True} for stage, item in ran]
    write_json(folder / layout.JOB_LIST, {"started": 0.0, "host": "here", "process": 1, "logs": [], "jobs": jobs})
    for number, arguments in enumerate((["tokenizer"], ["answers", "plain"], ["answers", "whole"])):
        record = {
            "started": 100.0 + 5 * number,
            "seconds": 10.0,
            "git_commit": "0123456789abcdef",
            "git_changed": False,
        }
        write_json(_path(folder / layout.JOBS, ["stage", *arguments]), record)
    for name, seconds in (("tokenizer", 7), ("answers/plain", 11), ("answers/whole", 12), ("answers/of-before", 99)):
        write_text(folder / layout.TIMINGS / f"{name}.tsv", f"s\tmax_rss\n{seconds}\t-\n")
    return scores


def test_seeds_are_numbers_and_ranges() -> None:
    assert claim.seeds_of("0-4") == [0, 1, 2, 3, 4]
    assert claim.seeds_of("10-12,3,5,11") == [10, 11, 12, 3, 5]
    for wrong in ("", "a", "4-2", "-3", "1-", "1,,2", "1-2-3", "2.5"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected numbers and ranges"):
            claim.seeds_of(wrong)


def test_means_and_errors_are_those_of_numpy_and_scipy(preset: Path, tmp_path: Path) -> None:
    config = load(preset)
    drawn = [made_up(tmp_path / f"seed-{seed}", config, seed) for seed in SEEDS]
    runs = [read_run(tmp_path / f"seed-{seed}", config, seed) for seed in SEEDS]
    pairs = pairs_of(config)
    assert [(pair.kind, pair.before, pair.after) for pair in pairs] == [
        ("substitution", "plain", "substituted"),
        ("pretraining", "unpretrained", "whole"),
    ]
    for pair in pairs:
        gains = gains_of(pair, runs)
        assert [gain.column for gain in gains] == [column for column in COLUMNS if column != EMPTY]
        for gain in gains:
            place = COLUMNS.index(gain.column)
            before, after = (np.array([scores[name][place] for scores in drawn]) for name in (pair.before, pair.after))
            assert gain.before == pytest.approx(before.mean()) and gain.after == pytest.approx(after.mean())
            assert gain.mean == pytest.approx((after - before).mean())
            error = float(scipy.stats.sem(after - before))
            assert gain.two_errors == pytest.approx(2 * error)
            assert gain.larger == ((after - before).mean() > 2 * error)
            assert gain.gained == int((after > before).sum())
    assert gains_of(pairs[0], runs[:1])[0].two_errors is None and not gains_of(pairs[0], runs[:1])[0].larger
    means = means_of(runs)
    stacked = {name: np.mean([scores[name] for scores in drawn], axis=0) for name in drawn[0]}
    names = [str(model["name"]) for model in MODELS]
    rivals = ["plain", "substituted", "whole"]
    assert controls_of(config) == ["unpretrained"] and whole_recipe(config) == {"whole": rivals}
    others = np.max([stacked[name] for name in names if name != "whole"], axis=0)
    counted = [column for column in COLUMNS if column != EMPTY]
    alone = [column for column in counted if stacked["whole"][COLUMNS.index(column)] > others[COLUMNS.index(column)]]
    wins = wins_of(means, "whole", names)
    assert (list(wins.alone), list(wins.shared), list(wins.columns)) == (alone, ["VizWiz"], counted)
    assert runs[0].seconds == 20.0 and runs[0].stages == {"tokenizer": 7.0, "answers": 23.0}


def test_time_is_counted_once_where_jobs_run_side_by_side() -> None:
    assert covered([]) == 0
    assert covered([(0, 10), (2, 3), (8, 12), (20, 21)]) == 13


def test_the_page_is_written_from_the_numbers(
    preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = load(preset), tmp_path / "docs/page.md"
    for seed in SEEDS:
        made_up(tmp_path / f"runs/seed-{seed}", config, seed)
    monkeypatch.setattr(claim, "run", lambda folder, *_: folder.name != "seed-12")
    arguments = ["--config", str(preset), "--runs", str(tmp_path / "runs"), "--out", str(out)]
    assert claim.main([*arguments, "--seeds", "10-13"]) == 1
    assert "seed 12 is not finished" in capsys.readouterr().err
    page = out.read_text("utf-8")
    runs = [read_run(tmp_path / f"runs/seed-{seed}", config, seed) for seed in SEEDS]
    assert page.startswith(NOTICE) and "10, 11, 13: 3 of 4 are finished" in page and "| Unfinished seeds | 12 |" in page
    assert "`0123456789`" in page and "`four.yaml`" in page
    for pair in pairs_of(config):
        gains = gains_of(pair, runs)
        for gain in gains:
            larger = "yes" if gain.larger else "no"
            assert (
                f"| {gain.column} | {gain.before:.1f} → {gain.after:.1f} | {gain.mean:+.1f} | {gain.two_errors:.1f} | "
                f"{larger} | {gain.gained} of 3 |"
            ) in page
            each = " | ".join(f"{value:+.1f}" for value in gain.gains.values())
            assert f"| `{pair.after}` | {gain.column} | {each} |" in page
        assert f"in {sum(gain.larger for gain in gains)} of 12 columns" in page
    assert "not in `make table`, so counted only where it is said: `unpretrained`." in page
    assert "| Of the means, with these too |" in page
    assert re.search(r"`whole` is the best .* \(and 1 shared\) \| yes \|", page)
    assert re.search(r"No column's best score is below 5 \| 1 of 12: VizWiz 1\.5 \| no \|", page)
    assert "| answers | 23.0 |" in page and "of-before" not in page
    figure = out.with_suffix(".svg").read_bytes()
    assert NOTICE.encode() in figure and b"unpretrained to whole: " in figure
    assert claim.main([*arguments, "--seeds", "10,11,13"]) == 0
    assert out.with_suffix(".svg").read_bytes() == figure
    assert "Unfinished seeds" not in out.read_text("utf-8")


def test_one_seed_says_nothing_of_errors(preset: Path, tmp_path: Path) -> None:
    made_up(tmp_path / "seed-3", load(preset), 3)
    out = tmp_path / "page.md"
    arguments = ["--config", str(preset), "--runs", str(tmp_path), "--out", str(out), "--as-it-is"]
    assert claim.main([*arguments, "--seeds", "3"]) == 0
    page = out.read_text("utf-8")
    assert "One seed has no standard error" in page and "as they were found" in page
    assert "nan" not in page and "| yes | 1 of 1 |" not in page


def test_a_run_of_another_config_or_seed_is_refused(
    preset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load(preset)
    made_up(tmp_path / "seed-3", config, 4)
    arguments = ["--config", str(preset), "--runs", str(tmp_path), "--out", str(tmp_path / "page.md"), "--as-it-is"]
    assert claim.main([*arguments, "--seeds", "3"]) == 1
    assert re.search(r"config\.json: another config than four at seed 3", capsys.readouterr().err)
    assert claim.main([*arguments, "--seeds", "5"]) == 1
    assert re.search(r": none of the seeds \[5\] is finished", capsys.readouterr().err)
    assert not (tmp_path / "page.md").exists()
