"""Checkpoints of others: whatever is in the folder, it answers or is refused in one line, and runs no code."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import PROJECT
from damage import changed_bytes, changed_json
from harness import CASES, Outcomes, many_cases
from published_models import llm_of, tower_of, vicuna  # noqa: F401  (a fixture)
from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Request
from sharegpt4v.generation.local import Generator
from sharegpt4v.models.published import import_llm, import_vision_tower
from sharegpt4v.training.ranks import SINGLE_RANK
from sharegpt4v.training.saved_states import SavedStates
from sharegpt4v.training.torch_engine import TorchEngine
from tiny_llava import write_llava, write_pictures

CODE = "open('pwned', 'w')"
slow_cases = settings(many_cases, max_examples=CASES if CASES > 1000 else CASES // 4)  # each one loads a model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_pictures(folder, 1)
    return write_llava(folder)


@pytest.fixture
def folder(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of a checkpoint; no code in it may leave the file `pwned`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.py").write_text(CODE)
    yield Path(shutil.copytree(whole, tmp_path / "model"))
    assert not list(tmp_path.rglob("pwned"))


def use(folder: Path, whole: Path) -> None:
    """Load a checkpoint, and ask it once with an image and once without."""
    requests = [Request("What is it?", whole.parent / "coco/000.jpg", 2), Request("What is it?", None, 2)]
    answers = dict(Generator(folder).answer(requests))
    assert sorted(answers) == [0, 1] and not any(answer.error for answer in answers.values())


def test_all_models_are_loaded_where_code_of_others_is_refused() -> None:
    calls = [
        (path.name, ast.unparse(node))
        for path in (*(PROJECT / "src").rglob("*.py"), *(PROJECT / "benchmarks").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    loading = [(name, call) for name, call in calls if ".from_pretrained(" in call.partition("(")[0] + "("]
    assert len(loading) >= 5 and all("trust_remote_code=False" in call for _, call in loading), loading
    assert {name for name, _ in loading} == {"loading.py", "engines_equal.py", "gpu_captions.py"}
    states = [call for _, call in calls if call.startswith("torch.load(")]
    assert states and all("weights_only=True" in call for call in states), states


def test_a_training_state_that_is_a_pickle_of_others_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = torch.nn.Linear(1, 1)
    engine = TorchEngine(model, torch.optim.SGD(model.parameters(), 0.1), None)  # type: ignore[arg-type]  # none is read here
    states = SavedStates(engine, tmp_path, SINGLE_RANK)
    states.save(3)
    states.finish()
    assert states.load() == 3
    for content in (Payload(), {"weight/0/bias": Payload()}, [1], {"weight/0/bias": model.bias}):
        torch.save(content, tmp_path / "states/step-3/rank-0-of-1.safetensors")
        with pytest.raises(UserError, match=r"states: no state of this training \(.*\); delete it to begin anew"):
            states.load()
    assert not (tmp_path / "pwned").exists()


def test_a_whole_one_works(folder: Path, whole: Path) -> None:
    use(folder, whole)


KEYS = st.sampled_from(["auto_map", "quantization_config", "x", "attn_implementation", "dtype"])


def damaged(data: st.DataObject, name: str, content: bytes) -> bytes:
    """Change a file as a bad disk, a bad download or a bad person does."""
    how = data.draw(st.sampled_from(["value", "value", "bytes"]))
    if how == "value" and name.endswith(".json"):
        return json.dumps(changed_json(data, json.loads(content), KEYS)).encode()
    if how == "value" and name.endswith(".safetensors"):
        length = struct.unpack("<Q", content[:8])[0]
        header = json.dumps(changed_json(data, json.loads(content[8 : 8 + length]), KEYS)).encode()
        return struct.pack("<Q", len(header)) + header + content[8 + length :]
    return changed_bytes(data, content)


@slow_cases
@given(data=st.data())
def test_any_damage(data: st.DataObject, folder: Path, whole: Path, outcomes: Outcomes) -> None:
    name = data.draw(st.sampled_from(sorted(path.name for path in whole.iterdir())))
    content = (whole / name).read_bytes()
    try:
        (folder / name).write_bytes(damaged(data, name, content))
        outcomes.of(lambda: use(folder, whole))
    finally:
        (folder / name).write_bytes(content)


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (CODE,)


WRONG: dict[str, dict[str, Any]] = {
    "another architecture": {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"},
    "an unknown architecture": {"architectures": ["Mine"], "model_type": "mine"},
    "code of its own": {"auto_map": {"AutoConfig": "code.Config", "AutoModelForImageTextToText": "code.Model"}},
    "code of its own, unknown type": {"auto_map": {"AutoConfig": "code.Config"}, "model_type": "mine"},
    "another width": {"text_config": {"hidden_size": 64}},
    "another vocabulary": {"text_config": {"vocab_size": 10**9}},
    "a thousand million layers": {"text_config": {"num_hidden_layers": 10**9}},
    "fewer layers": {"text_config": {"num_hidden_layers": 1}},
    "an enormous image": {"vision_config": {"image_size": 10**8}},
    "patches of nothing": {"vision_config": {"patch_size": 0}},
    "another image token": {"image_token_index": 5, "image_token_id": 5},
    "features of no layer": {"vision_feature_layer": -9},
    "attention from elsewhere": {"attn_implementation": "kernels-community/flash-attn"},
    "quantised": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_config_that_does_not_fit_is_one_line(what: str, folder: Path, whole: Path, outcomes: Outcomes) -> None:
    config = json.loads((folder / "config.json").read_text())
    for key, value in WRONG[what].items():
        config[key] = config[key] | value if key.endswith("_config") and key in config else value
    (folder / "config.json").write_text(json.dumps(config))
    outcomes.of(lambda: use(folder, whole))
    assert outcomes["refused in one line"] == 1


@pytest.mark.parametrize("name", ["tokenizer_config.json", "processor_config.json"])
def test_code_beside_the_tokenizer_is_not_run(name: str, folder: Path, whole: Path, outcomes: Outcomes) -> None:
    settings = json.loads((folder / name).read_text())
    settings["auto_map"] = {"AutoTokenizer": ["code.T", "code.T"], "AutoProcessor": "code.P"}
    (folder / name).write_text(json.dumps(settings))
    outcomes.of(lambda: use(folder, whole))
    assert outcomes["refused in one line"] == 1


def test_a_chat_template_that_raises_or_reaches_out_is_never_run(folder: Path, whole: Path) -> None:
    code = "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ raise_exception('no') }}"
    code += "{% for i in range(10**9) %}{% endfor %}"
    (folder / "chat_template.jinja").write_text(code)
    use(folder, whole)


@pytest.mark.parametrize("index", [False, True])
def test_a_pickle_is_read_as_weights_alone(
    index: bool, vicuna: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    monkeypatch.chdir(tmp_path)
    weights = load_file(vicuna / "model.safetensors")
    (vicuna / "model.safetensors").unlink()
    file = vicuna / ("pytorch_model-00001-of-00001.bin" if index else "pytorch_model.bin")
    if index:
        names = dict.fromkeys(weights, file.name)
        (vicuna / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    torch.save(weights, file)
    import_llm(llm_of(vicuna), tmp_path / "out")
    for content in (weights | {"x": Payload()}, Payload()):
        torch.save(content, file)
        with pytest.raises(UserError) as caught:
            import_llm(llm_of(vicuna), tmp_path / "bad")
        assert "\n" not in str(caught.value) and str(vicuna) in str(caught.value)
    file.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(UserError):
        import_llm(llm_of(vicuna), tmp_path / "bad")
    assert not list(tmp_path.rglob("pwned")) and not (tmp_path / "bad").exists()


def test_safetensors_are_preferred(vicuna: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (vicuna / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))
    import_llm(llm_of(vicuna), tmp_path / "out")
    assert not list(tmp_path.rglob("pwned"))


@slow_cases
@given(data=st.data())
def test_published_parts_with_any_damage(
    data: st.DataObject,
    vicuna: Path,
    whole: Path,
    tmp_path: Path,
    outcomes: Outcomes,
) -> None:
    kind = data.draw(st.sampled_from([vicuna, whole.parent / "tower"]))
    folder = tmp_path / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kind, folder)
    name = data.draw(st.sampled_from(sorted(path.name for path in kind.iterdir())))
    (folder / name).write_bytes(damaged(data, name, (kind / name).read_bytes()))
    if kind == vicuna:
        outcomes.of(lambda: import_llm(llm_of(folder), tmp_path / "out"))
    else:
        outcomes.of(lambda: import_vision_tower(tower_of(folder), tmp_path / "out"))
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]
