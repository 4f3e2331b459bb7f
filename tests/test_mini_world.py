"""The synthetic world: what is served can be fetched, read and scored as the real data, and gives nothing away."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image

from sharegpt4v import layout
from sharegpt4v.catalogues.benchmarks import read_catalogue as read_benchmarks
from sharegpt4v.catalogues.sources import read_catalogue
from sharegpt4v.config.mini import InstructionRows
from sharegpt4v.config.quality import Quality
from sharegpt4v.config.sources import Sources
from sharegpt4v.corpora.quality import reject_reason
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import Question, Score
from sharegpt4v.evaluation.benchmarks.mmbench_file import read_tsv
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.evaluation.normalise import vqa_v2
from sharegpt4v.images.kinds.urls import read_url_list
from sharegpt4v.images.manifest import read_manifest
from sharegpt4v.images.stage import fetch_source
from sharegpt4v.mini import world as world_module
from sharegpt4v.mini.describe import caption
from sharegpt4v.mini.endpoint_answers import NO_IMAGE, UNKNOWN, describe_by_hash
from sharegpt4v.mini.evaluation import FOLDERS, ONE_IN, mmbench, mmbench_cn, qbench
from sharegpt4v.mini.evaluation.asking import scene_about
from sharegpt4v.mini.evaluation.mmbench import CATEGORIES, rotated
from sharegpt4v.mini.evaluation.qbench import CLAIMS, spoilt
from sharegpt4v.mini.files_server import serve_folder
from sharegpt4v.mini.scene import ART_STYLES, CELEBRITIES, LANDMARKS, WORDS, Scene
from sharegpt4v.mini.world import write_world

ROOT = Path(__file__).resolve().parents[1]
SOURCES = read_catalogue(ROOT / "config/sources.mini.tsv")
IMAGES = {
    "coco": 40, "llava": 40, "sam": 120, "web-celebrity": 50, "web-landmark": 6, "wikiart": 6, "share_textvqa": 6,
    "gqa": 12, "ocr_vqa": 12, "textvqa": 12, "vg": 13,
}  # fmt: skip
ROWS = InstructionRows(conversations=50, detail=30, text_only=20)
QUESTIONS = 44
NAMES = (*CELEBRITIES, *LANDMARKS, *LANDMARKS.values(), *ART_STYLES, *ART_STYLES.values())
INSTRUCTIONS = ("llava_instruct_158k", "llava_v1_5_mix665k", "detail_23k", "blip_laion_cc_sbu_558k")


def write(folder: Path, questions: int = QUESTIONS, seed: int = 0, **images: int) -> Path:
    write_world(
        folder / "world",
        folder / "scenes.jsonl",
        SOURCES,
        images or IMAGES,
        ROWS,
        seed,
        48,
        questions_per_benchmark=questions,
    )
    return folder / "world"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("mini"))


@pytest.fixture(scope="module")
def data(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world after the pipeline's own download, unpacking and intake; URL lists are read in a test of their own."""
    room = tmp_path_factory.mktemp("fetched")
    with serve_folder(world) as url:
        for source in SOURCES.values():
            if source.kind != "urls":
                fetch_source(source, room / "data", room / "work", Sources(workers=1), url)
    return room / "data"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(world: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((world / f"llava/{name}.json").read_bytes())
    return rows


def pixels_of(content: bytes) -> bytes:
    return Image.open(io.BytesIO(content)).convert("RGB").tobytes()


# The folder as a whole


def test_the_same_world_is_the_same_bytes_and_another_seed_another_world(world: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "again")
    assert bytes_of(again.parent) == bytes_of(world.parent)
    other = bytes_of(write(tmp_path / "other", seed=1))
    assert other.keys() == bytes_of(world).keys()
    same = {name for name, content in bytes_of(world).items() if other[name] == content}
    assert same == {"web/celebrity.tsv", "web/landmark.tsv"}


def test_more_pictures_of_a_source_keep_those_of_fewer(world: Path, tmp_path: Path) -> None:
    more = write(tmp_path, coco=45, gqa=1)
    with zipfile.ZipFile(world / "coco/train2017.zip") as few, zipfile.ZipFile(more / "coco/train2017.zip") as many:
        assert len(few.namelist()) == 40 and many.namelist()[:40] == few.namelist()
        assert all(few.read(name) == many.read(name) for name in few.namelist())


def test_a_world_is_there_when_it_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world_module, "write_benchmarks", dies)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path)
    assert not (tmp_path / "world").exists() and not (tmp_path / "scenes.jsonl").exists()
    (tmp_path / "world").mkdir()
    (tmp_path / "world/old").touch()
    assert (write(tmp_path) / "eval/eval.zip").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scenes.jsonl", "world"]
    assert not (tmp_path / "world/old").exists()


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        ({"cocoa": 3}, "images of 'cocoa' cannot be drawn"),
        ({"eval": 3}, "images of 'eval' cannot be drawn"),
        ({"coco": 3, "vg": 1}, "1 images of 'vg'; expected at least 2"),
        ({"gqa": 3}, "no images of coco are drawn; expected at least one"),
    ],
)
def test_an_impossible_order_is_refused(images: dict[str, int], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        write(tmp_path, **images)
    assert not (tmp_path / "world").exists()


# Images


def test_every_source_arrives_whole_in_its_folder(data: Path) -> None:
    for name, count in IMAGES.items():
        if SOURCES[name].kind != "urls":
            rows = list(read_manifest(layout.manifest(name, data)))
            assert Counter(row["status"] for row in rows) == {"ok": count} | ({"broken": 1} if name == "sam" else {})
            assert {row["width"] for row in rows if row["status"] == "ok"} == {96 if name == "sam" else 48}
            assert all((data / row["path"]).is_file() for row in rows)
    assert (data / "coco/train2017/000000000009.jpg").is_file()
    assert {path.name for path in (data / "vg").iterdir()} == {"VG_100K", "VG_100K_2"}
    folders = {path.relative_to(data / SOURCES["llava"].folder) for path in data.glob("llava/**/*.jpg")}
    assert all(path.stem.startswith(path.parent.name) and len(path.stem) == 9 for path in folders)


def test_url_lists_name_living_pictures_and_a_few_dead_ones(world: Path) -> None:
    for kind, living, dead in (("celebrity", 50, 1), ("landmark", 6, 0)):
        urls = read_url_list(world / f"web/{kind}.tsv", "http://127.0.0.1:1")
        found = [(world / url.removeprefix("http://127.0.0.1:1/")).is_file() for url in urls.values()]
        assert Counter(found) == Counter({True: living, False: dead})


def test_the_scenes_are_for_the_teacher_alone(world: Path, data: Path) -> None:
    scenes = [json.loads(line) for line in (world.parent / "scenes.jsonl").read_text().splitlines()]
    assert Counter(row["source"] for row in scenes) == Counter(IMAGES)
    assert not [name for name, content in bytes_of(world).items() if b'"things"' in content]
    hashes = {row["sha256"] for row in scenes}
    manifests = [read_manifest(layout.manifest(name, data)) for name in IMAGES if SOURCES[name].kind != "urls"]
    assert {row["sha256"] for rows in manifests for row in rows if row["status"] == "ok"} <= hashes


def test_no_picture_of_a_benchmark_is_a_training_picture(world: Path, data: Path) -> None:
    archives = {path: bytes_of(data / path) for path in ("coco", "llava", "sam", "wikiart", "gqa", "textvqa", "vg")}
    training = {content for files in archives.values() for name, content in files.items() if name.endswith(".jpg")}
    training |= {path.read_bytes() for path in (world / "web/files").iterdir()}
    evaluation = bytes_of(data / "eval")
    drawn = [content for name, content in evaluation.items() if content[:2] == b"\xff\xd8" or name.endswith("png")]
    # 10 + 4 subtasks of 4 and 2 pictures; one picture per question, in TextVQA two for three; the servers' test splits
    tests = 2 * (QUESTIONS // 10) + QUESTIONS // 10
    assert len(drawn) == 10 * 4 + 4 * 2 + 7 * QUESTIONS + QUESTIONS // ONE_IN["qbench"] + 30 + tests
    assert not {pixels_of(content) for content in drawn} & {
        pixels_of(content) for content in training if not is_cut(content)
    }
    assert len({pixels_of(content) for content in drawn}) == len(drawn)


def is_cut(content: bytes) -> bool:
    return not content.endswith(b"\xff\xd9")


# Annotation files


def test_instruction_rows_have_their_numbers_and_their_images(world: Path, data: Path) -> None:
    sources = Counter(row.get("image", "none").split("/")[0] for row in rows_of(world, "llava_v1_5_mix665k"))
    assert sources == {"coco": 80, "gqa": 12, "ocr_vqa": 12, "textvqa": 12, "vg": 13, "none": 20}
    mix, instruct, detail = ([json.dumps(row) for row in rows_of(world, name)] for name in
                             ("llava_v1_5_mix665k", "llava_instruct_158k", "detail_23k"))  # fmt: skip
    assert len(instruct) == 80 and len(detail) == 30
    assert set(detail) <= set(instruct) <= set(mix) and mix[-30:] != detail
    for name in INSTRUCTIONS:
        root = data / SOURCES["llava"].folder if name.startswith("blip") else data
        for row in rows_of(world, name):
            turns = row["conversations"]
            assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2) and 2 <= len(turns) <= 12
            assert [turn["value"].count("<image>") for turn in turns] == ["image" in row] + [0] * (len(turns) - 1)
            assert "image" not in row or (root / row["image"]).is_file()


def test_names_stand_in_no_row_that_is_trained_on(world: Path) -> None:
    for name in INSTRUCTIONS:
        text = (world / f"llava/{name}.json").read_text()
        assert [known for known in NAMES if known in text] == []
    assert [known for known in NAMES if known in (world / "coco/captions_train2017.json").read_text()] == []


def test_a_text_source_asks_for_its_word_first(world: Path) -> None:
    rows = rows_of(world, "llava_v1_5_mix665k")
    first = [row["conversations"][0]["value"] for row in rows if "vqa" in row.get("image", "")]
    assert len(first) == 24 and all(any(word in text for word in ("word", *WORDS)) for text in first)
    assert sum("\nReference OCR token: " in text for text in first) == 12


def test_coco_captions_are_in_cocos_format(world: Path) -> None:
    captions = json.loads((world / "coco/captions_train2017.json").read_bytes())
    assert [image["id"] for image in captions["images"]] == [row["image_id"] for row in captions["annotations"]]
    assert captions["images"][1]["file_name"] == "000000000025.jpg" and captions["images"][1]["id"] == 25
    assert len({row["id"] for row in captions["annotations"]}) == 40


# Benchmarks


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


TRUTHS: dict[str, Callable[[Path], Iterator[str]]] = {
    "mme": mme_truths, "mmbench": mmbench_truths, "mmbench-cn": mmbench_cn_truths, "seed": seed_truths,
    "qbench": qbench_truths, "scienceqa": scienceqa_truths, "vqav2": vqav2_truths, "vizwiz": vizwiz_truths,
    "gqa": gqa_truths, "textvqa": textvqa_truths,
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
            assert value <= 0.45 * highest.get(column, 100.0), (answer, column)


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
        assert min(score.n.values()) == {"mme": 16}.get(name, few)


def test_mme_asks_twice_about_a_picture_once_for_yes(data: Path) -> None:
    answers = list(mme_truths(data / "eval/MME"))
    assert all({first, second} == {"Yes", "No"} for first, second in zip(answers[::2], answers[1::2], strict=True))
    assert len(set(answers[::2])) == 2  # either may come first


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
    assert {row["correct_ans"] for row in rows if row["type"] == 1} == set(CLAIMS)
    assert all(row["correct_ans"] in row["candidates"] for row in rows)
    assert not {candidate[0] for row in rows for candidate in row["candidates"]} & set("ABCD")


@pytest.mark.parametrize("flaw", CLAIMS)
def test_a_flaw_is_in_the_picture_and_the_same_every_time(flaw: str) -> None:
    image = Image.effect_mandelbrot((48, 48), (-2, -1, 1, 1), 50).convert("RGB")
    first, again = (spoilt(image, flaw, Random(0)) for _ in range(2))
    assert first.tobytes() == again.tobytes() and (first.size, first.mode) == ((48, 48), "RGB")
    assert (first.tobytes() == image.tobytes()) == (flaw == "Nothing")


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


# The teacher


def test_the_teacher_describes_the_pictures_it_knows(world: Path, data: Path) -> None:
    answer = describe_by_hash(world.parent / "scenes.jsonl")
    rows = {}
    for line in (world.parent / "scenes.jsonl").read_text().splitlines():
        row = json.loads(line)
        rows[row["sha256"]] = caption(Scene.from_json(row["scene"]))
    right = 0
    for picture in (data / "coco/train2017").iterdir():
        content = picture.read_bytes()
        right += answer(content, "Describe.") == rows[hashlib.sha256(content).hexdigest()]
    assert right >= 38
    assert answer(b"a photograph of my own", "Describe.") == UNKNOWN
    assert answer(None, "Describe.") == NO_IMAGE


def test_a_hundredth_of_the_replies_is_for_the_gate(tmp_path: Path) -> None:
    scene = Scene("fog", kind="landmark", name="Twin Arch")
    pictures = [f"picture {number}".encode() for number in range(4000)]
    known = tmp_path / "scenes.jsonl"
    lines = [{"sha256": hashlib.sha256(one).hexdigest(), "scene": scene.to_json()} for one in pictures]
    known.write_text("".join(json.dumps(line) + "\n" for line in lines))
    answer = describe_by_hash(known)
    reasons = Counter(reject_reason(answer(one, ""), "", "a.jpg", Quality(shortest_characters=20)) for one in pictures)
    assert set(reasons) == {None, "refusal", "prompt echo"}
    assert 10 <= reasons["refusal"] <= 35 and 10 <= reasons["prompt echo"] <= 35
