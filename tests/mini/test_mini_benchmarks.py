"""The benchmarks of the synthetic world: true statements in the official files."""

from __future__ import annotations

import ast
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest
from PIL import Image

from mini_world import (
    QUESTIONS,
    data,  # noqa: F401  (a fixture)
    world,  # noqa: F401  (a fixture that it takes)
    write,
)
from sharegpt4v.catalogues.benchmarks import read_catalogue as read_benchmarks
from sharegpt4v.evaluation.base import Question, Score
from sharegpt4v.evaluation.benchmarks import pope
from sharegpt4v.evaluation.benchmarks.tsv_file import read_tsv
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.evaluation.normalise import vqa_v2
from sharegpt4v.mini.describe import caption
from sharegpt4v.mini.draw import spoilt
from sharegpt4v.mini.evaluation import FOLDERS, ONE_IN, mmbench, mmbench_cn, mme, qbench
from sharegpt4v.mini.evaluation.asking import scene_about
from sharegpt4v.mini.evaluation.mmbench import CATEGORIES, rotated
from sharegpt4v.mini.scene import COLOURS, FLAWS, SHAPES, WORDS


def mme_truths(data: Path) -> Iterator[str]:
    tree = data / "MME_Benchmark_release_version"
    for line in (data / "llava_mme.jsonl").read_text().splitlines():
        row = json.loads(line)
        path = tree / row["image"].replace("/images/", "/questions_answers_YN/").replace(".jpg", ".txt")
        pairs = dict(line.split("\t") for line in path.read_text().splitlines())
        yield pairs[row["text"].split("\n")[0] + " Please answer yes or no."]


def mmbench_truths(data: Path) -> Iterator[str]:
    return (row["answer"] for _, row in read_tsv(data / "mmbench_dev_20230712.tsv", []))


def mmbench_cn_truths(data: Path) -> Iterator[str]:
    return (row["answer"] for _, row in read_tsv(data / "mmbench_dev_cn_20231003.tsv", []))


def seed_truths(data: Path) -> Iterator[str]:
    return (row["answer"] for row in json.loads((data / "SEED-Bench.json").read_bytes())["questions"])


def qbench_truths(data: Path) -> Iterator[str]:
    return (row["correct_ans"] for row in json.loads((data / "llvisionqa_dev.json").read_bytes()))


def scienceqa_truths(data: Path) -> Iterator[str]:
    return ("ABCD"[row["answer"]] for row in json.loads((data / "problems.json").read_bytes()).values())


def vqav2_truths(data: Path) -> Iterator[str]:
    rows = json.loads((data / "v2_mscoco_val2014_annotations.json").read_bytes())["annotations"]
    return (row["multiple_choice_answer"] for row in rows)


def vizwiz_truths(data: Path) -> Iterator[str]:
    for row in json.loads((data / "val.json").read_bytes()):
        yield Counter(one["answer"] for one in row["answers"]).most_common(1)[0][0]


def gqa_truths(data: Path) -> Iterator[str]:
    rows = json.loads((data / "data/testdev_balanced_questions.json").read_bytes()).values()
    return (row["answer"] for row in rows)


def textvqa_truths(data: Path) -> Iterator[str]:
    rows = json.loads((data / "TextVQA_0.5.1_val.json").read_bytes())["data"]
    return (Counter(row["answers"]).most_common(1)[0][0] for row in rows)


def table_truths(file: str) -> Callable[[Path], Iterator[str]]:
    return lambda data: (row["answer"] for _, row in read_tsv(data / file, []))


def ocrbench_truths(data: Path) -> Iterator[str]:
    return (f"It says {ast.literal_eval(cell)[0]}." for cell in table_truths("OCRBench.tsv")(data))


def pope_truths(data: Path) -> Iterator[str]:
    for name in pope.SETS:
        rows = (data / f"coco/coco_pope_{name}.json").read_text().splitlines()
        yield from (json.loads(row)["label"] for row in rows)


def hallusion_truths(data: Path) -> Iterator[str]:
    rows = json.loads((data / "HallusionBench.json").read_bytes())
    return (("No.", "Yes.")[int(row["gt_answer"])] for row in rows if row["filename"])


def mmmu_truths(data: Path) -> Iterator[str]:
    for path in sorted(data.glob("*/*.parquet")):
        yield from (row["answer"] for row in pq.read_table(path).to_pylist())


TRUTHS: dict[str, Callable[[Path], Iterator[str]]] = {
    "mme": mme_truths, "mmbench": mmbench_truths, "mmbench-cn": mmbench_cn_truths, "seed": seed_truths,
    "qbench": qbench_truths, "scienceqa": scienceqa_truths, "vqav2": vqav2_truths, "vizwiz": vizwiz_truths,
    "gqa": gqa_truths, "textvqa": textvqa_truths, "mmstar": table_truths("MMStar.tsv"),
    "mmstar-text": table_truths("MMStar.tsv"), "pope": pope_truths, "ai2d": table_truths("AI2D_TEST.tsv"),
    "realworldqa": table_truths("RealWorldQA.tsv"), "ocrbench": ocrbench_truths,
    "chartqa": table_truths("ChartQA_TEST.tsv"), "hallusion-bench": hallusion_truths, "mmmu": mmmu_truths,
}  # fmt: skip


BENCHMARKS = read_benchmarks()


def scored(name: str, folder: Path, texts: list[str]) -> Score:
    benchmark = module_of(BENCHMARKS[name])
    questions = benchmark.questions(folder)
    rows = [
        {"question_id": one.question_id, "prompt": one.stored_prompt or one.prompt, "text": text}
        for one, text in zip(questions, texts, strict=True)
    ]
    return benchmark.score(folder, rows)


def readable(question: Question) -> bool:
    if question.image is None:
        return True
    with Image.open(question.image if isinstance(question.image, Path) else io.BytesIO(question.image)) as image:
        return image.size == (48, 48) and image.mode == "RGB"


def test_every_benchmark_of_the_catalogue_is_drawn() -> None:
    assert {benchmark.folder for benchmark in BENCHMARKS.values()} == set(FOLDERS)


@pytest.mark.parametrize("name", TRUTHS)
def test_the_truth_scores_the_maximum_and_one_answer_for_all_little(name: str, data: Path) -> None:
    folder = data / "eval" / BENCHMARKS[name].folder
    questions = module_of(BENCHMARKS[name]).questions(folder)
    assert all(readable(question) for question in questions)
    best = scored(name, folder, list(TRUTHS[name](folder))).columns
    highest = {"MME-perception": 2000.0, "MME-cognition": 800.0}
    assert best == pytest.approx({column: highest.get(column, 100.0) for column in BENCHMARKS[name].columns})
    for answer in ("A", "yes", "red"):
        for column, value in scored(name, folder, [answer] * len(questions)).columns.items():
            largest = 67 if name == "pope" else 0.45 * highest.get(column, 100.0)  # F1 is two thirds if all is yes
            assert value <= largest, (answer, column)


@pytest.mark.parametrize("questions", [1, 10])
def test_few_questions_make_whole_benchmarks_too(questions: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(write(tmp_path, questions, coco=2) / "eval/eval.zip") as archive:
        archive.extractall(tmp_path / "eval")
    for name, benchmark in BENCHMARKS.items():
        folder = tmp_path / "eval" / benchmark.folder
        if name not in TRUTHS:  # the judge has tests of its own, and a server the truth to itself
            assert module_of(benchmark).questions(folder)
            continue
        score = scored(name, folder, list(TRUTHS[name](folder)))
        assert set(score.columns) == set(benchmark.columns)
        few = max(1, questions // ONE_IN.get(benchmark.folder, 1))
        assert min(score.n.values()) == {"mme": 16, "pope": 6, "hallusion-bench": 4}.get(name, few)


def test_mme_asks_twice_about_a_picture_once_for_yes(data: Path) -> None:
    answers = list(mme_truths(data / "eval/MME"))
    assert all({first, second} == {"Yes", "No"} for first, second in zip(answers[::2], answers[1::2], strict=True))
    assert len(set(answers[::2])) == 2  # either may come first


def test_mme_posters_ask_what_the_objects_below_their_word_are_like() -> None:
    for number in range(20):
        scene, *asked = mme.claims("posters", Random(number))
        claimed = [claim.removeprefix("Is this in the image: ").rstrip("?") for claim in asked]
        there = {fact for thing in scene.things for fact in (thing.shape, thing.colour)}
        assert scene.word and [claim in there for claim in claimed] == [True, False]
        assert {*claimed} <= {*SHAPES} or {*claimed} <= {*COLOURS}


def test_mmbench_turns_the_options_and_leaves_a_few_rounds_out(data: Path) -> None:
    rows = dict(read_tsv(data / "eval/mmbench/mmbench_dev_20230712.tsv", []))
    rounds: dict[int, list[dict[str, str]]] = {}
    for index, row in rows.items():
        rounds.setdefault(index % 1_000_000, []).append(row)
    shapes = Counter((sum(bool(row[0][letter]) for letter in "ABCD"), len(row)) for row in rounds.values())
    assert set(shapes) == {(2, 2), (3, 3), (4, 4), (4, 3)} and shapes[2, 2] > sum(shapes.values()) / 2
    for group in rounds.values():
        options = [[row[letter] for letter in "ABCD" if row[letter]] for row in group]
        turning = 3 if len(group) < len(options[0]) else len(options[0])
        assert options == [rotated(options[0][:turning], turn) + options[0][turning:] for turn in range(len(group))]
        assert len({row["ABCD".index(group[0]["answer"])] for row in options}) == len(group) or turning == 3
    assert rotated(["a", "b", "c"], 1) == ["c", "a", "b"]


def test_mmbench_cn_is_mmbench_translated(tmp_path: Path) -> None:
    for name, content in [*mmbench.files(20, 0, 48), *mmbench_cn.files(20, 0, 48)]:
        (tmp_path / name).write_bytes(content)
    english = dict(read_tsv(tmp_path / "mmbench_dev_20230712.tsv", []))
    chinese = dict(read_tsv(tmp_path / "mmbench_dev_cn_20231003.tsv", []))
    assert list(english) == list(chinese)
    for index, row in chinese.items():
        assert all(row[name] == english[index][name] for name in ("image", "answer", "category", "split"))
        assert not row["question"].isascii()
        options = [row[letter] for letter in "ABCD" if row[letter]]
        assert len(set(options)) == len(options) == sum(bool(english[index][letter]) for letter in "ABCD")
        assert all(not option.isascii() or option in WORDS for option in options)


def test_qbench_asks_about_every_flaw_in_every_way() -> None:
    rows = json.loads(dict(qbench.files(44, 0, 48))["llvisionqa_dev.json"])
    assert Counter((row["type"], len(row["candidates"])) for row in rows) == {(0, 2): 15, (1, 4): 15, (2, 3): 14}
    assert {row["correct_ans"] for row in rows if row["type"] == 1} == set(FLAWS)
    assert all(row["correct_ans"] in row["candidates"] for row in rows)
    assert not {candidate[0] for row in rows for candidate in row["candidates"]} & set("ABCD")


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_in_the_picture_and_the_same_every_time(flaw: str) -> None:
    image = Image.effect_mandelbrot((48, 48), (-2, -1, 1, 1), 50).convert("RGB")
    first, again = (spoilt(image, flaw, Random(0)) for _ in range(2))
    assert first.tobytes() == again.tobytes() and (first.size, first.mode) == ((48, 48), "RGB")
    assert first.tobytes() != image.tobytes()


def test_vizwiz_answers_are_normalised_and_some_questions_have_none(data: Path) -> None:
    rows = json.loads((data / "eval/vizwiz/val.json").read_bytes())
    answers = [one["answer"] for row in rows for one in row["answers"]]
    assert len(answers) == 10 * QUESTIONS and all(vqa_v2(one) == one for one in answers)
    assert Counter(row["answerable"] for row in rows) == {1: 33, 0: 11}
    assert {row["answer_type"] for row in rows} == {"yes/no", "number", "other", "unanswerable"}
    assert all((row["answer_type"] == "unanswerable") == (row["answerable"] == 0) for row in rows)


def test_scienceqa_asks_with_and_without_a_picture(data: Path) -> None:
    questions = module_of(BENCHMARKS["scienceqa"]).questions(data / "eval/scienceqa")
    assert Counter(question.image is None for question in questions) == {False: QUESTIONS, True: QUESTIONS // 4}


def test_textvqa_has_questions_that_only_their_text_tells_apart(data: Path) -> None:
    questions = module_of(BENCHMARKS["textvqa"]).questions(data / "eval/textvqa")
    assert len(questions) == QUESTIONS and len({question.question_id for question in questions}) == 30
    found = [question.prompt.split("\n")[1].removeprefix("Reference OCR token: ") for question in questions]
    assert 0 < sum(not token for token in found) < len(found) / 2


@pytest.mark.parametrize("aspect", CATEGORIES)
def test_a_question_is_answered_by_what_the_teacher_says_of_the_scene(aspect: str) -> None:
    for number in range(50):
        scene, asked = scene_about(aspect, Random(number))
        assert asked.aspect == aspect and asked.answer.lower() in caption(scene).lower()
        assert asked.answer in asked.choices and len(set(asked.choices)) == len(asked.choices) >= 2
