"""Published base models are taken as they are, from a folder or from Hugging Face, and made into a LLaVA."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
)

from published_models import llm_of, tower_of, vicuna  # noqa: F401  (a fixture)
from sharegpt4v.errors import UserError
from sharegpt4v.models.building import load_llava
from sharegpt4v.models.published import import_llm, import_vision_tower
from sharegpt4v.models.saving import save_llava
from sharegpt4v.models.templates import IMAGE, encode, prompt_text, v1_text
from tiny_llava import SIZE, build_llava, write_tower_and_llm

TURNS = [{"from": "human", "value": f"{IMAGE}\nWhat is it?"}, {"from": "gpt", "value": "A red circle."}]


def test_a_language_model_keeps_its_weights_and_learns_what_an_image_is(vicuna: Path, tmp_path: Path) -> None:
    import_llm(llm_of(vicuna), tmp_path / "out")
    before = AutoModelForCausalLM.from_pretrained(vicuna)
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert after.dtype == before.dtype == torch.float16
    for name, weights in before.state_dict().items():
        assert torch.equal(after.state_dict()[name][: len(weights)], weights), name
    assert after.config.vocab_size == 320 and tokenizer.convert_tokens_to_ids(IMAGE) == 300 == tokenizer.image_token_id
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("<unk>", 0)
    text = "A red circle.</s>"
    assert tokenizer(text).input_ids == AutoTokenizer.from_pretrained(vicuna)(text).input_ids
    for part in ("model.embed_tokens", "lm_head"):  # new rows are the mean of the old ones
        old = before.get_parameter(f"{part}.weight").float()
        for row in after.get_parameter(f"{part}.weight")[300:]:
            assert torch.equal(row, old.mean(0).half()), part
    import_llm(llm_of(vicuna), tmp_path / "again")
    assert (tmp_path / "again/model.safetensors").read_bytes() == (tmp_path / "out/model.safetensors").read_bytes()
    settings = GenerationConfig.from_pretrained(tmp_path / "out")
    assert (settings.do_sample, settings.temperature, settings.top_p) == (False, None, None)
    assert (settings.bos_token_id, settings.eos_token_id, settings.pad_token_id) == (1, 2, 0)
    assert settings.suppress_tokens == [*range(300, 320)]  # `<image>`, and rows that only fill up


def test_taken_parts_join_into_a_llava(vicuna: Path, tmp_path: Path) -> None:
    tower, _ = write_tower_and_llm(tmp_path)
    import_llm(llm_of(vicuna), tmp_path / "llm")
    import_vision_tower(tower_of(tower), tmp_path / "clip")
    model, processor = build_llava(tmp_path / "clip", tmp_path / "llm", seed=0)
    save_llava(model, processor, tmp_path / "llava")
    model, processor = load_llava(tmp_path / "llava")
    text, spans = v1_text(TURNS)
    sample = encode(processor.tokenizer, text, spans, 4)
    ids, labels = sample.ids, sample.labels
    assert ids.count(300) == 4 and ids[0] == 1
    assert processor.tokenizer.decode([label for label in labels if label >= 0]).strip() == "A red circle.</s>"
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}],
        add_generation_prompt=True,
    )
    assert prompt == f"<s>{prompt_text('What is it?', True)}"
    out = model(input_ids=torch.tensor([ids]), pixel_values=torch.zeros(1, 3, SIZE, SIZE))
    assert out.logits.shape == (1, len(ids), 320) and out.logits.isfinite().all()


def test_what_is_not_as_the_config_says_is_refused(vicuna: Path, tmp_path: Path) -> None:
    tower, _ = write_tower_and_llm(tmp_path)
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"vicuna: layers is 2, the config says 5; correct the config"):
        import_llm(llm_of(vicuna, layers=5), out)
    with pytest.raises(UserError, match=r"tower: image_size is 24, the config says 48; correct the config"):
        import_vision_tower(tower_of(tower, 48), out)
    with pytest.raises(UserError, match=r"nobody/nothing: no such folder; expected one, or a Hugging Face id with its"):
        import_llm(llm_of("nobody/nothing"), out)
    assert not out.exists()


def test_a_download_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"lmsys/nothing at 0{40}: cannot be downloaded") as error:
        import_llm(llm_of("lmsys/nothing", revision="0" * 40), tmp_path / "out")
    assert "\n" not in str(error.value)
