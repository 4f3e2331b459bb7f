"""Hostile configs: whatever is in the file, it is read or refused in lines that can be printed, within a second.

Values that reach a shell or name a file run no command and leave no folder.
"""

from __future__ import annotations

import gc
import json
import re
import shutil
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sklearn.datasets
from hypothesis import given
from hypothesis import strategies as st

from conftest import ENVIRONMENT, PROJECT, run
from damage import places
from harness import Outcomes, many_cases
from sharegpt4v.config import Config, load, loading
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.config.tree import read_tree
from sharegpt4v.config.wording import Schema, schema
from sharegpt4v.errors import UserError
from sharegpt4v.images.manifest import read_manifest

SECONDS = 1.0
PHOTOGRAPH = Path(sklearn.datasets.__file__).parent / "images/china.jpg"
COMMAND = "$(touch pwned)"
HOSTILE = [
    COMMAND, "`touch pwned`", "a;touch pwned", "a && touch pwned", "|touch pwned", "a b", "a'b", 'a"b', "a\nb", "a\tb",
    "", "..", "../a", "/etc/passwd", "-rf", "*", "{size}", "{", "%s", "$HOME", "~", "a\\b", "é", "\u202egnp.a",
    "\x1b[2Ja", "\x07", "\x00", "\u2028", "a" * 300, "\ud800",
]  # fmt: skip
WORST = """it's "a" `touch pwned`;$(touch pwned) & touch pwned #{size} é"""
"""Everything that a shell or Snakemake could take for its own, in a name that a file can have."""


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """A config in which every key has a value, also the keys that no preset sets."""
    config: dict[str, Any] = load(PROJECT / "config/smoke.yaml").model_dump(mode="json")
    config["sources"] |= {"placed": ["wikiart"], "link_files": {"sam": "links.txt"}, "folder_sources": {"own": "own"}}
    budget = {"limit_usd": 1, "image_tokens": 900, "prompt_usd_per_million": 1, "completion_usd_per_million": 1}
    for section in ("teacher", "judge"):
        config[section] |= {
            "api_key_variable": "KEY", "budget": budget, "requests_per_minute": 9, "tokens_per_minute": 9
        }  # fmt: skip
    for section in ("teacher", "captions"):
        config[section]["quality"]["reviewed"] = "reviewed.jsonl"
    for section in ("captions", "benchmarks"):
        config[section]["endpoint"] = config["teacher"] | {"base_url": "http://127.0.0.1:8000/v1"}
        for key in set(config["teacher"]) - set(Endpoint.model_fields):
            del config[section]["endpoint"][key]
        config[section]["vllm"] |= {"longest_tokens": 4096, "arguments": ["--quantization=fp8"]}
    config["tracking"] |= {"uri": "sqlite:///mlflow.db", "experiment": "mine"}
    published = {"id": "some/model", "revision": "main"}
    for part in (config["base_models"]["vision_tower"], *config["base_models"]["llm"].values()):
        part["published"] = published
    taken = published | {"family": "llava", "most_pixels": 99_999}
    for llm in config["base_models"]["llm"].values():
        llm |= {"projector": published, "pretrained": taken}
    config["captioner"] |= {"published": taken, "base": taken}
    rates = {"vision_learning_rate": 1e-4, "projector_learning_rate": 1e-4, "gradient_clip": 1.0}
    for recipe in ("alignment", "pretraining", "finetuning"):
        config[recipe] |= rates | {"tune_vit_from_layer": 1}
    config["captioner"]["recipe"] |= rates
    lora = {"rank": 8, "alpha": 16, "dropout": 0.1, "quantised": False}
    for recipe in (config["alignment"], config["captioner"]["recipe"], config["pretraining"], config["finetuning"]):
        recipe["lora"] = lora
    config["compute"]["rows_at_once"] = 1
    for model in config["models"]:
        model["paper"] = model["paper"] or "none"
    variant = {
        "name": "half of the captions", "paper": "none", "size": "7b", "pretraining": "captions",
        "captions": {
            "author": "captioner", "sources": ["coco"], "described_by": ["blind"], "share": 0.5,
            "captioner": {"seed_captions": 0.5, "size": "13b", "recipe": {"epochs": 2}},
        },
        "recipe": {"tune_vit_from_layer": 1}, "substitution": "all", "finetuning_captions": "captioner",
    }  # fmt: skip
    study = {"title": "Captions", "model": "sharegpt4v-7b", "paper": "none", "draw": "curve", "memory": True}
    config["ablations"]["studies"] = {"captions": study | {"variants": [variant]}}
    return config


def at(tree: Any, place: tuple[str | int, ...]) -> Any:
    for step in place:
        tree = tree[step]
    return tree


def replaced(tree: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """A copy of a tree with another value at a place."""
    if not place:
        return value
    copied: Any = dict(tree) if isinstance(tree, dict) else list(tree)
    copied[place[0]] = replaced(tree[place[0]], place[1:], value)
    return copied


def renamed(tree: Any, place: tuple[str | int, ...], name: str) -> Any:
    """A copy of a tree in which the key at a place has another name."""
    mapping = at(tree, place[:-1])
    return replaced(tree, place[:-1], {name if key == place[-1] else key: value for key, value in mapping.items()})


def read(path: Path, text: str | bytes) -> Config:
    """Load a config of this text; every line that refuses it can be printed, and it takes no more than a second."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", errors="surrogatepass"))
    gc.disable()  # a collection goes through all that the tests before this one have left: a second, in a whole run
    began = time.process_time()
    try:
        return load(path)
    except UserError as error:
        lines = str(error).split("\n")
        assert all(line and line.isprintable() for line in lines), lines
        raise UserError(lines[0]) from None
    finally:
        took = time.process_time() - began
        gc.enable()
        assert took < SECONDS


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the files on which all others build once."""
    kept, files = cache(read_tree), ("config.yaml", "whole.json")
    monkeypatch.setattr(loading, "read_tree", lambda path: (kept if path.name in files else read_tree)(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, whole: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("config")
    shutil.copy(PROJECT / "config/config.yaml", folder)
    (folder / "whole.json").write_text(json.dumps(whole))
    return folder


def read_changed(folder: Path, changed: dict[str, Any], *sections: str | int) -> Config:
    """Load the whole config with these sections of a changed one over it."""
    preset = {"base": "whole.json"} | {str(name): changed[str(name)] for name in sections if name in changed}
    return read(folder / "changed.json", json.dumps(preset, ensure_ascii=False))


SMOKE = (PROJECT / "config/smoke.yaml").read_bytes()
PIECES = [
    b"&a ", b"*a", b"<<: ", b"!!python/object/apply:os.system ['touch pwned']", b"{", b"[", b"\n", b"\t", b": ", b"- ",
    b"\xff", b"\x00", b"'", b'"', b"9" * 30, b"base: ", b".inf", b"? ", b"|\n", b"%TAG ! x\n", b"---\n",
    b"\xef\xbb\xbf",
]  # fmt: skip


@many_cases
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, len(SMOKE)), st.integers(0, 8), st.sampled_from(PIECES) | st.binary(max_size=4)
        ),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_a_file_whose_bytes_are_damaged(
    changes: list[tuple[int, int, bytes]], folder: Path, quick: None, outcomes: Outcomes
) -> None:
    text = SMOKE
    for place, length, piece in changes:
        text = text[:place] + piece + text[place + length :]
    outcomes.of(lambda: read(folder / "damaged.yaml", text))


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**40), 10**40) | st.text(max_size=12)
    | st.sampled_from(HOSTILE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@many_cases
@given(data=st.data())
def test_any_value_at_any_key(
    data: st.DataObject, whole: dict[str, Any], folder: Path, quick: None, outcomes: Outcomes
) -> None:
    changed, sections = whole, []
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(list(places(changed, most=None))))
        changed = replaced(changed, place, data.draw(values))
        sections.append(place[0])
    outcomes.of(lambda: read_changed(folder, changed, *sections))


LAUGHS = "l0: &l0 ha\n" + "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 19))
BOMBS = {
    "a billion laughs": LAUGHS,
    "a wide list of aliases": "a: &a {b: [" + "1, " * 2500 + "]}\nc: [" + "*a, " * 2500 + "]",
    "many small values": "a: [" + "a," * 9_000 + "]",
    "many small mappings": "a:\n" + "- {a: 1}\n" * 2000,
    "a loop of aliases": "a: &a [*a]",
    "a deep list": "a: " + "[" * 15_000,
    "a deep mapping": "a: " + "{b: " * 5_000,
    "deep indentation": "\n".join(" " * n + "a:" for n in range(150)),
    "many digits": f"seed: {'9' * 5000}",
    "a number beyond 64 bits": f"seed: {2**70}",
    "a number beyond all floats": "finetuning: {learning_rate: 1e999}",
    "a very long key": f"{'k' * 15_000}: 1",
    "many unknown keys": "\n".join(f"key{n}: 1" for n in range(1500)),
    "a huge file": "# " + "x" * 20_000_000,
    "a key that is a list": "? [a, b]\n: 1",
    "half a character": '{"name": "\\ud800"}',
    "a line end in a name": '{"name": "a\\nb"}',
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_is_refused_within_a_second(what: str, folder: Path) -> None:
    with pytest.raises(UserError):
        read(folder / "bomb.yaml", BOMBS[what])


def test_a_chain_of_presets_is_short_and_ends(folder: Path) -> None:
    for number in range(500):
        (folder / f"chain{number}.yaml").write_text(f"base: chain{number + 1}.yaml\n")
    for text in (
        "base: chain0.yaml\n", "base: circle.yaml\n", "base: .\n", "base: /dev/zero\n", "base: ''\n", "base: [a]\n"
    ):  # fmt: skip
        with pytest.raises(UserError, match=r"circle.yaml:1: base|chain8.yaml.* more than 10 presets"):
            read(folder / "circle.yaml", text)
    with pytest.raises(UserError, match=r"/dev/zero: more than 40,000 bytes"):
        load(Path("/dev/zero"))


EXCLUSIVE = {("TrainedModel", "published"), ("TrainedModel", "base")}
"""Keys that a row with a size and a mix cannot have; the captioner's, of the same kind, are attacked."""


def test_every_key_is_among_those_that_are_attacked(whole: dict[str, Any]) -> None:
    parts: dict[str, Schema] = schema()["$defs"]
    reached = set()

    def walk(node: Schema, value: Any) -> None:
        for choice in node.get("anyOf", ()):
            walk(choice, value)
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            for key, inner in parts[name]["properties"].items():
                reached.add((name, key))
                if (name, key) in EXCLUSIVE:
                    continue
                assert value[key] not in (None, [], {}), f"{name}.{key} has no value to be attacked"
                walk(inner, value[key])
        for inner in (*node.get("patternProperties", {}).values(), node.get("additionalProperties")):
            for held in value.values() if isinstance(inner, dict) else ():
                walk(inner, held)
        for held in value if "items" in node else ():
            walk(node["items"], held)

    for key, node in schema()["properties"].items():
        walk(node, whole[key])
    known = {(name, key) for name, part in parts.items() for key in part["properties"]}
    assert reached == known


def is_shown_safely(config: Config) -> bool:
    """Whether no text and no path of a config can steer a terminal or end a line."""
    return all(
        not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]", str(value)) for value in texts_of(config)
    )


def texts_of(config: Config) -> Iterator[str]:
    tree = config.model_dump(mode="json")
    for place in places(tree, most=None):
        yield str(place[-1])
        if isinstance(at(tree, place), str):
            yield at(tree, place)


SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def names_in(config: Config) -> list[str]:
    """All that names a file, a folder, a job or a row."""
    models = [name for model in config.models for name in (model.name, model.size, model.mix) if name]
    sources = config.sources
    return [
        config.name, *models, *config.base_models.llm, *config.corpora.instruction_mixes, *sources.use, *sources.placed,
        *sources.link_files, *sources.folder_sources, *config.captions.sources, *config.teacher.captions,
        *config.corpora.finetuning_sources, *config.corpora.substitution_sources, *config.benchmarks.names,
        *(name for pair in config.substitution for name in (pair.before, pair.after)), config.captioner.size,
    ]  # fmt: skip


@many_cases
@given(data=st.data())
def test_hostile_text_for_any_name_and_value(
    data: st.DataObject, whole: dict[str, Any], folder: Path, quick: None, outcomes: Outcomes
) -> None:
    place = data.draw(st.sampled_from(list(places(whole, most=None))))
    text = data.draw(st.sampled_from([*HOSTILE, WORST]))
    attack(whole, place, text, data.draw(st.booleans()), folder, outcomes)


def test_a_command_for_every_name_and_value(
    whole: dict[str, Any], folder: Path, quick: None, outcomes: Outcomes
) -> None:
    for place in places(whole, most=None):
        for as_name in (False, True) if isinstance(place[-1], str) else (False,):
            attack(whole, place, COMMAND, as_name, folder, outcomes)


def attack(
    whole: dict[str, Any], place: tuple[str | int, ...], text: str, as_name: bool, folder: Path, outcomes: Outcomes
) -> None:
    """Put a text in the place of a value, or of its key; what is taken is safe to show and to name files with."""
    as_name = as_name and isinstance(place[-1], str)
    changed = renamed(whole, place, text) if as_name else replaced(whole, place, text)
    section = text if as_name and len(place) == 1 else place[0]
    config = outcomes.of(lambda: read_changed(folder, changed, section))
    if config:
        assert is_shown_safely(config), (place, text)
        assert all(SAFE.fullmatch(name) for name in names_in(config)), (place, text)


def test_every_rule_quotes_what_it_gives_to_the_shell() -> None:
    for rules in (PROJECT / "workflow/rules").glob("*.smk"):
        for line in rules.read_text().splitlines():
            if re.match(r'\s+"(s4v |.*\| tee)', line):
                assert all(found.endswith(":q") for found in re.findall(r"\{(.*?)\}", line)), (rules.name, line)


def test_paths_and_texts_full_of_signs_of_the_shell_work(tmp_path: Path, folder: Path) -> None:
    """Whatever text the config takes is one that no shell should see; so are the folders of the project and the run."""
    project, work = tmp_path / WORST / "project", tmp_path / WORST / "run"
    for name in ("src", "config", "workflow", "profiles"):
        shutil.copytree(PROJECT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "Snakefile", project)
    config = load(PROJECT / "config/smoke.yaml").model_dump(mode="json")
    config["sources"] |= {"folder_sources": {"own": "own"}, "link_files": {"sam": "links.txt"}}
    work.mkdir()
    hostile = config
    for number, place in enumerate(list(places(config, most=None))):
        if not isinstance(value := at(config, place), str):
            continue
        text = f"sqlite:///{WORST}.db" if place == ("tracking", "uri") else f"{number} {WORST}"
        try:
            read(folder / "taken.json", json.dumps(replaced(config, place, text)))
        except UserError:
            continue
        hostile = replaced(hostile, place, text)
        if (PROJECT / value).exists():
            (work / text).symlink_to(PROJECT / value)
        elif place[:2] == ("sources", "folder_sources"):
            (work / text).mkdir()
            shutil.copy(PHOTOGRAPH, work / text / f"{WORST}.jpg")
    assert sum(hostile != replaced(hostile, place, at(config, place)) for place in places(config, most=None)) >= 15
    preset = work / f"{WORST}.json"
    preset.write_text(json.dumps(hostile))
    options = ["--directory", str(work), "--configfile", str(preset)]
    environment = ENVIRONMENT | {"PYTHONPATH": str(project / "src")}
    targets = ["data/manifests/own.parquet", "checkpoints/base/tokenizer/tokenizer.json"]
    for arguments in (["--dry-run", "--quiet", "rules"], targets):
        ended = run(["snakemake", *arguments, *options], project, environment)
        assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    (row,) = read_manifest(work / "data/manifests/own.parquet")
    assert Path(row["path"]).name == f"{WORST}.jpg" and row["status"] == "ok"
    assert not [path for path in tmp_path.rglob("*pwned*") if path.name == "pwned"] and not Path("pwned").exists()
