"""Published base models are taken as they are, from a folder or from Hugging Face, and made into a LLaVA."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from sharegpt4v.config.base_models import Published, Transformer, VisionTower
from sharegpt4v.errors import UserError
from sharegpt4v.models.building import build_llava, load_llava
from sharegpt4v.models.published import import_llm, import_vision_tower
from sharegpt4v.models.saving import save_llava
from sharegpt4v.models.templates import IMAGE, encode, prompt_text, v1_text
from tiny_llava import PATCH, SIZE, write_tower_and_llm

TURNS = [{"from": "human", "value": f"{IMAGE}\nWhat is it?"}, {"from": "gpt", "value": "A red circle."}]


@pytest.fixture
def vicuna(tmp_path: Path) -> Path:
    """A folder like Vicuna's: half precision, a tokenizer without `<image>`, padding and chat template."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(replacement="▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([prompt_text("What is it?", False), "A red circle."], trainer)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).half().save_pretrained(tmp_path / "vicuna")
    # As Vicuna has it: sampling is off, and its settings are left.
    settings = {"bos_token_id": 1, "eos_token_id": 2, "max_length": 4096, "pad_token_id": 0}
    (tmp_path / "vicuna/generation_config.json").write_text(json.dumps(settings | {"temperature": 0.9, "top_p": 0.6}))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(tmp_path / "vicuna")
    return tmp_path / "vicuna"


def llm_of(folder: Path | str, layers: int = 2, revision: str | None = None) -> Transformer:
    return Transformer(
        published=Published(id=str(folder), revision=revision), hidden_size=32, layers=layers, heads=2, mlp_size=64
    )


def tower_of(folder: Path, image_size: int = SIZE) -> VisionTower:
    return VisionTower.model_validate(
        {
            "published": {"id": str(folder)}, "hidden_size": 32, "layers": 3, "heads": 2, "mlp_size": 64,
            "image_size": image_size, "patch_size": PATCH,
            "training": {"steps": 1, "batch_size": 1, "learning_rate": 1e-3},
        }
    )  # fmt: skip


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
