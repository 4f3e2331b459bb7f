"""An error in a config is reported in one line with its place."""

# ruff: noqa: E501 - the lines that users see stand here whole

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from presets import (
    CONFIG,
    Preset,
    complaints,
    preset,  # noqa: F401  (fixtures)
)
from sharegpt4v.config import load, missing_keys
from sharegpt4v.config.benchmarks import BenchmarkName


def line_of(text: str) -> int:
    """Return the number of the first line of config.yaml that begins with `text`, blanks aside."""
    lines = (CONFIG / "config.yaml").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.strip().startswith(text))


def test_unknown_and_wrong_keys_come_together_each_with_its_line(preset: Preset) -> None:
    path = preset("teacher:", "  temprature: 0.5", "", "  temperature: hot", "folder: mine")
    lines = complaints(path)
    assert lines[:2] == [
        "config/my.yaml:5: teacher.temperature is 'hot'; expected a number between 0 and 2",
        "config/my.yaml:3: teacher.temprature: unknown key; did you mean 'temperature'?",
    ]
    assert lines[2].startswith("config/my.yaml:6: folder: unknown key; expected one of name, seed, mini,")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seed: -1", "seed is -1; expected a whole number between 0 and 4294967295"),
        ("seed: 1.5", "seed is 1.5; expected a whole number between 0 and 4294967295"),
        ("seed: true", "seed is true; expected a whole number between 0 and 4294967295"),
        ("seed:", "seed is null; expected a whole number between 0 and 4294967295"),
        ("name: Mini_2", "name is 'Mini_2'; expected a name of at most 64 small letters, digits, '.', '+' and '-'"),
        ("teacher: 5", "teacher is 5; expected a mapping of keys"),
        ("teacher: {temperature: 2.1}", "teacher.temperature is 2.1; expected a number between 0 and 2"),
        ("teacher: {attempts: 0}", "teacher.attempts is 0; expected a whole number of at least 1"),
        ("teacher: {image_detail: fine}", "teacher.image_detail is 'fine'; expected one of high, low, auto"),
        (
            "teacher: {base_url: localhost}",
            "teacher.base_url is 'localhost'; expected 'mini' or an address that begins with http:// or https://",
        ),
        ("teacher: {requests_per_minute: 0}", "teacher.requests_per_minute is 0; expected a whole number of at least 1 or null"),
        ("teacher: {captions: {coco: some}}", "teacher.captions.coco is 'some'; expected a whole number of at least 0"),
        ("teacher: {captions: 7}", "teacher.captions is 7; expected names, each with a whole number of at least 0"),
        ("finetuning: {learning_rate: 0}", "finetuning.learning_rate is 0; expected a number above 0"),
        ("finetuning: {learning_rate: 1e999}", "finetuning.learning_rate is inf; expected a number above 0"),
        ("captions: {sources: coco}", "captions.sources is 'coco'; expected a list of at least 1, each item a name of at most 64 letters, digits, '.', '_', '+' and '-'"),
        ("captions: {sources: []}", "captions.sources is an empty list; expected a list of at least 1, each item a name of at most 64 letters, digits, '.', '_', '+' and '-'"),
        ("sources: {catalogue: [a]}", "sources.catalogue is a list; expected a path"),
        ("captions: {sources: [5]}", "captions.sources[0] is 5; expected a name of at most 64 letters, digits, '.', '_', '+' and '-'"),
        ("models: []", "models is an empty list; expected a list of at least 1"),
        (
            "benchmarks: {names: [mme, mmee]}",
            f"benchmarks.names[1] is 'mmee'; expected one of {', '.join(get_args(BenchmarkName))}",
        ),
        (
            "substitution: [{before: llava-7b}]",
            "substitution[0].after is missing; expected a name of at most 64 small letters, digits, '.', '+' and '-'",
        ),
    ],
)  # fmt: skip
def test_wrong_values(preset: Preset, text: str, complaint: str) -> None:
    assert complaints(preset(text)) == [f"config/my.yaml:2: {complaint}"]


def test_a_missing_key_names_the_section_that_lacks_it(preset: Preset) -> None:
    values = load(CONFIG / "config.yaml").model_dump(mode="json")
    del values["mini"]["instruction_rows"]["detail"], values["name"]
    path = preset(*json.dumps(values, indent=1).splitlines(), base=False, name="copy.json")
    line = next(n for n, text in enumerate(path.read_text().splitlines(), start=1) if '"instruction_rows"' in text)
    assert complaints(path) == [
        "config/copy.json:1: name is missing; expected a name of at most 64 small letters, digits, '.', '+' and '-'",
        f"config/copy.json:{line}: mini.instruction_rows.detail is missing; expected a whole number of at least 0",
    ]


def test_the_file_that_holds_the_key_is_named(preset: Preset) -> None:
    whole = Path("config/config.yaml")
    whole.write_text(whole.read_text().replace("max_new_tokens: 96", "max_new_tokens: many"))
    path = preset("teacher: {attempts: none}")
    assert complaints(path) == [
        "config/my.yaml:2: teacher.attempts is 'none'; expected a whole number of at least 1",
        f"config/config.yaml:{line_of('max_new_tokens')}: captions.max_new_tokens is 'many'; "
        "expected a whole number of at least 1",
    ]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["seed: 1", "name: a", "seed: 2"], "3: seed is given twice (first on line 1); keep one of them"),
        (["teacher: {model: a, model: b}"], "1: model is given twice (first on line 1); keep one of them"),
        (["seed: 1", "name: a: b"], "2: not valid YAML: mapping values are not allowed here"),
        (
            ["teacher:", "\tmodel: a"],
            "2: not valid YAML: found character '\\t' that cannot start any token; indent with blanks, not with tabs",
        ),
        (
            ["captions:", "  sources: [a,", "seed: 1"],
            "4: not valid YAML: expected ',' or ']', but got '<stream end>' "
            "(while parsing a flow sequence that begins on line 2)",
        ),
        (["seed: !!python/name:os.system 1"], "1: the tag !!python/name:os.system is not known here; expected a plain value"),
        (["seed: !env X"], "1: the tag !env is not known here; expected a plain value"),
        (["seed: &a", "  b: *a"], "2: nested more than 20 deep; expected a plain config without loops of aliases"),
        (["- a"], "1: expected keys such as 'name: mini' at the top of the file"),
        (["# nothing"], "1: expected keys such as 'name: mini' at the top of the file"),
        (["base: other.yaml"], "1: base names config/other.yaml, which is no file; expected a path relative to config"),
        (["base: my.yaml"], "1: base leads back to config/my.yaml; expected a preset that does not build on this one"),
        (["base: [a]"], "1: base is a list; expected the path of another config"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read_as_a_config(preset: Preset, lines: list[str], complaint: str) -> None:
    assert complaints(preset(*lines, base=False)) == [f"config/my.yaml:{complaint}"]


def test_presets_that_build_on_each_other(preset: Preset) -> None:
    preset("base: my.yaml", base=False, name="other.yaml")
    assert complaints(preset("base: other.yaml", base=False)) == [
        "config/other.yaml:1: base leads back to config/my.yaml; expected a preset that does not build on this one"
    ]


def test_files_that_are_not_there_or_not_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.yaml").write_bytes(b"\xff\xd8\xff")
    assert complaints(Path("mine.yaml")) == ["mine.yaml: no such file; expected a config such as config/config.yaml"]
    assert complaints(Path("photo.yaml")) == ["photo.yaml: not UTF-8 text; expected a YAML or JSON file"]
    assert complaints(Path()) == [".: cannot be read (Is a directory); expected a YAML or JSON file"]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (
            ["pretraining:", "  tune_vit_from_layer: 5"],
            "3: pretraining.tune_vit_from_layer is 5; expected at most 4, the layers of base_models.vision_tower, or null",
        ),
        (
            ["alignment:", "  train_llm: false", "  train_projector: false"],
            "2: alignment trains nothing; expected train_projector, train_llm or tune_vit_from_layer to be set",
        ),
        (
            ["captioner:", "  recipe:", "    loss_parts: 2"],
            "4: captioner.recipe.loss_parts is for steps of samples; expected batch_of: samples beside it",
        ),
        (
            ["pretraining: {batch_of: samples, batch_size: 4, loss_parts: 5}"],
            "2: pretraining.loss_parts is 5; expected at most 4, the samples of a step",
        ),
        (
            ["base_models:", "  vision_tower:", "    patch_size: 10"],
            "4: base_models.vision_tower.patch_size is 10; expected a divisor of image_size, 48",
        ),
        (
            ["base_models:", "  vision_tower: {heads: 5}"],
            "3: base_models.vision_tower.heads is 5; expected a divisor of hidden_size, 64",
        ),
        (
            ["base_models:", "  llm: {7b: {heads: 128}}"],
            "3: base_models.llm.7b.heads is 128; expected heads of an even width (rotary positions), not 1",
        ),
        (["captioner: {size: 70b}"], "2: captioner.size is '70b', which is not in base_models.llm; did you mean '7b'?"),
        (
            ["teacher:", "  captions:", "    cocoa: 5"],
            "4: teacher.captions.cocoa is not in sources.use or sources.folder_sources; did you mean 'coco'?",
        ),
        (
            ["teacher:", "  captions:", "    coco: 2601"],
            "4: teacher.captions.coco is 2601; expected at most 2600, the images that mini.images draws",
        ),
        (
            ["captions:", "  sources:", "    - coco", "    - samm"],
            "5: captions.sources[1] is 'samm', which is not in sources.use or sources.folder_sources; did you mean 'sam'?",
        ),
        (
            ["corpora:", "  substitution_sources: [gqa]"],
            "3: corpora.substitution_sources[0] is 'gqa', which is not in teacher.captions; "
            "expected one of coco, llava, sam, web-celebrity, web-landmark, wikiart, share_textvqa",
        ),
        (
            ["corpora:", "  finetuning_sources: {coco: 2051}"],
            "3: corpora.finetuning_sources.coco is 2051; expected at most 2050, the seed captions that teacher.captions asks for",
        ),
        (
            ["corpora:", "  finetuning_sources: {small: 241}"],
            "3: corpora.finetuning_sources.small is 241; expected at most 240, the seed captions that teacher.captions asks for",
        ),
        (["mini: {images: {vgg: 1}}"], "2: mini.images.vgg is not in sources.use; did you mean 'vg'?"),
        (
            ["mini: null", "benchmarks: {names: [mme]}", "teacher:", "  base_url: mini"],
            "5: teacher.base_url is 'mini' but there is no section mini; expected the address of an endpoint",
        ),
        (["sources: {folder_sources: {coco: a}}"], "2: sources.folder_sources.coco is also a name in sources.use; expected a name of its own"),
        (["sources: {folder_sources: {../a: a}}"], "2: sources.folder_sources.../a is not a name that can be used; expected a name of at most 64 letters, digits, '.', '_', '+' and '-'"),
        (
            ["models: [{name: captioner, size: 7b, pretraining: none, mix: llava-158k, substitution: none}]", "substitution: []"],
            "2: models[0].name is 'captioner', a folder of other checkpoints; expected another name",
        ),
        (["benchmarks: {names: [mme, mme]}"], "2: benchmarks.names[1] is 'mme' for the second time; expected every name once"),
        (
            ["substitution:", "  - {before: llava-7b, after: llava-7c}"],
            "3: substitution[0].after is 'llava-7c', which is not in models; did you mean 'llava-7b'?",
        ),
        (
            ["substitution:", "  - {before: llava-7b, after: sharegpt4v-13b}"],
            "3: substitution[0] compares models of unlike size, pretraining, mix; expected two that differ in substitution alone",
        ),
        (
            ["substitution:", "  - {before: llava-7b, after: llava-7b}"],
            "3: substitution[0] compares models of the same substitution; expected two that differ in it",
        ),
    ],
)  # fmt: skip
def test_combinations_that_cannot_be(preset: Preset, lines: list[str], complaint: str) -> None:
    assert complaints(preset(*lines)) == [f"config/my.yaml:{complaint}"]


def test_only_the_mini_world_has_a_teacher_and_a_judge_of_its_own(preset: Preset) -> None:
    assert complaints(preset("mini: null", "judge: {base_url: mini}")) == [
        f"config/config.yaml:{line_of('base_url:')}: teacher.base_url is 'mini' but there is no section mini; "
        "expected the address of an endpoint",
        "config/my.yaml:3: judge.base_url is 'mini' but there is no section mini; expected the address of an endpoint",
    ]


def test_models_need_sizes_mixes_and_names_of_their_own(preset: Preset) -> None:
    row = "{name: a, size: %s, mix: %s, pretraining: none, substitution: none}"
    path = preset("substitution: []", "models:", "- " + row % ("7b", "llava-158k"), "- " + row % ("70b", "blip"))
    assert complaints(path) == [
        "config/my.yaml:5: models[1].name is 'a' for the second time; expected every name once",
        "config/my.yaml:5: models[1].size is '70b', which is not in base_models.llm; did you mean '7b'?",
        "config/my.yaml:5: models[1].mix is 'blip', which is not in corpora.instruction_mixes; "
        "expected one of llava-158k, llava-665k",
    ]


def test_own_folders_count_as_sources(preset: Preset) -> None:
    path = preset("sources: {folder_sources: {holiday: /photos}}", "teacher: {captions: {holiday: 5}}")
    assert load(path).teacher.captions["holiday"] == 5


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("teacher: {model: sk-abcdef123}", "teacher.model"),
        ("teacher: {api_key: abcdef123}", "teacher.api_key"),
        ("teacher: {api_key_variable: abcdef123}", "teacher.api_key_variable"),
        ("teacher: {api_key_variable: sk-abcdef123}", "teacher.api_key_variable"),
        ("teacher: {base_url: 'https://me:abcdef123@example.org/v1'}", "teacher.base_url"),
        ("tracking: {uri: 'postgresql://me:abcdef123@localhost/x'}", "tracking.uri"),
        ("captions: {sources: [sk-abcdef123]}", "captions.sources[0]"),
    ],
)
def test_a_secret_is_refused_and_not_repeated(preset: Preset, text: str, key: str) -> None:
    lines = complaints(preset(text, "seed: wrong"))
    assert lines == [
        f"config/my.yaml:2: {key} seems to hold a secret; put it into an environment variable and write only the "
        "variable's name, as in 'api_key_variable: OPENAI_API_KEY'"
    ]
    assert "abcdef123" not in lines[0]


def test_a_secret_on_the_command_line_is_refused(preset: Preset) -> None:
    [line] = complaints(preset(), {"teacher": {"api_key": "abcdef123"}})
    assert line.startswith("command line: teacher.api_key seems to hold a secret;")
    assert "abcdef123" not in line


def test_missing_keys_are_told_before_work_starts(preset: Preset) -> None:
    assert missing_keys(load(preset()).endpoints, {}) == []
    config = load(preset("teacher: {base_url: 'https://example.org/v1', api_key_variable: MY_KEY}"))
    assert missing_keys(config.endpoints, {"MY_KEY": "abcdef123"}) == []
    for environ in ({}, {"MY_KEY": ""}):
        assert missing_keys(config.endpoints, environ) == [
            "environment variable MY_KEY is not set; expected the key of https://example.org/v1 in it, as "
            "teacher.api_key_variable says; set it, or name another"
        ]
    config = load(preset("judge: {base_url: 'https://example.org/v1', api_key_variable: MY_KEY}"))
    assert "as judge.api_key_variable says" in missing_keys(config.endpoints, {})[0]
    lines = ("judge: {base_url: 'https://example.org/v1', api_key_variable: MY_KEY}", "benchmarks: {names: [mme]}")
    assert missing_keys(load(preset(*lines)).endpoints, {}) == []  # nothing to judge
    asked = "endpoint: {base_url: 'https://example.org/v1', model: other, api_key_variable: MY_KEY}"
    for section in ("captions", "benchmarks"):
        assert missing_keys(load(preset(f"{section}: {{{asked}}}")).endpoints, {}) == []  # the local engine is asked
        [line] = missing_keys(load(preset(f"{section}: {{engine: endpoint, {asked}}}")).endpoints, {})
        assert f"as {section}.endpoint.api_key_variable says" in line
