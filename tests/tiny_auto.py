"""Models of current families with a few thousand random weights, in folders as their publishers write them.

Configs, tokenizers and chat templates are made here, in the form that the families' own have: ChatML for Qwen and
OneVision (whose template begins an answer with a blank that its question for one lacks), `User:` for SmolVLM.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

from tiny_llava import COLOURS, SHAPES

TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 4096, "initializer_range": 0.3,
}  # fmt: skip
QWEN_TEXT = TEXT | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}}
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 4,
}  # fmt: skip
QWEN_VISION: dict[str, Any] = {
    "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2,
    "temporal_patch_size": 2, "out_hidden_size": 32,
}  # fmt: skip
QWEN_IMAGES: dict[str, Any] = {
    "image_processor_type": "Qwen2VLImageProcessor", "patch_size": 4, "merge_size": 2, "temporal_patch_size": 2,
    "min_pixels": 256, "max_pixels": 1 << 24,
}  # fmt: skip
CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nHelp.<|im_end|>\n' }}{% endif %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ 'IMAGE' }}{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ONEVISION = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ '\n' + part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SMOLVLM = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{{ ':' if message['content'][0]['type'] == 'image' else ': ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<end_of_utterance>\n' }}{% endfor %}{{ 'Assistant:' if add_generation_prompt else '' }}"
)
QWEN = "<|vision_start|><|image_pad|><|vision_end|>"
GRID = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]


def _qwen(kind: str, **vision: Any) -> dict[str, Any]:
    return {
        "config": {"model_type": kind, "text_config": QWEN_TEXT, "vision_config": QWEN_VISION | vision},
        "ids": {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
                "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"},
        "special": ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"],
        "template": CHATML.replace("IMAGE", QWEN),
        "images": QWEN_IMAGES,
    }  # fmt: skip


KINDS: dict[str, dict[str, Any]] = {
    "qwen2_5_vl": _qwen("qwen2_5_vl", window_size=16, fullatt_block_indexes=[1]),
    "qwen3_vl": _qwen("qwen3_vl", num_position_embeddings=64, deepstack_visual_indexes=[0]),
    "llava_onevision": {
        "config": {
            "model_type": "llava_onevision",
            "text_config": TEXT | {"model_type": "qwen2"},
            "vision_config": VISION | {"model_type": "siglip_vision_model", "image_size": 16, "vision_use_head": False},
            "image_grid_pinpoints": [[16, 16], [16, 32], [32, 16], [32, 32]],
        },
        "ids": {"image_token_index": "<image>", "video_token_index": "<video>"},
        "special": ["<image>", "<video>"],
        "template": ONEVISION,
        "images": {
            "image_processor_type": "LlavaOnevisionImageProcessor", "size": {"height": 16, "width": 16},
            "image_grid_pinpoints": [[16, 16], [16, 32], [32, 16], [32, 32]],
        },
        "processor": {"num_image_tokens": 16, "vision_feature_select_strategy": "full"},
    },
    "smolvlm": {
        "config": {
            "model_type": "smolvlm", "scale_factor": 2,
            "text_config": TEXT | {"model_type": "llama"},
            "vision_config": VISION | {"model_type": "smolvlm_vision", "image_size": 16},
        },
        "ids": {"image_token_id": "<image>"},
        "special": ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *GRID],
        "template": SMOLVLM,
        "images": {
            "image_processor_type": "SmolVLMImageProcessor", "size": {"longest_edge": 48},
            "max_image_size": {"longest_edge": 16}, "do_image_splitting": True,
        },
        "processor": {"image_seq_len": 4},
        "end": "<end_of_utterance>",
    },
    "internvl": {
        "config": {
            "model_type": "internvl", "downsample_ratio": 0.5,
            "text_config": TEXT | {"model_type": "qwen2"},
            "vision_config": VISION | {"model_type": "internvl_vision", "image_size": [16, 16], "patch_size": [4, 4]},
        },
        "ids": {"image_token_id": "<IMG_CONTEXT>"},
        "special": ["<IMG_CONTEXT>", "<img>", "</img>", "<video>"],
        "named": {
            "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        "template": CHATML.replace("IMAGE", "<IMG_CONTEXT>\n"),
        "images": {
            "image_processor_type": "GotOcr2ImageProcessor", "size": {"height": 16, "width": 16},
            "crop_to_patches": True, "min_patches": 1, "max_patches": 4,
        },
        "processor": {"image_seq_length": 4},
    },
    "gemma3": {
        "config": {
            "model_type": "gemma3", "mm_tokens_per_image": 4,
            "text_config": TEXT | {"model_type": "gemma3_text"},
            "vision_config": VISION | {"model_type": "siglip_vision_model", "image_size": 16},
        },
        "ids": {"image_token_id": "<image_soft_token>", "boi_token_index": "<start_of_image>",
                "eoi_token_index": "<end_of_image>"},
        "special": ["<start_of_image>", "<end_of_image>", "<image_soft_token>"],
        "named": {
            "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>",
        },
        "template": CHATML.replace("IMAGE", "<start_of_image>"),
        "images": {"image_processor_type": "Gemma3ImageProcessor", "size": {"height": 16, "width": 16}},
        "processor": {"image_seq_length": 4},
    },
}  # fmt: skip


def write_auto(kind: str, folder: Path) -> Path:
    """Write a model of a family with random weights, as its publisher does; return its folder."""
    about = KINDS[kind]
    tokenizer = _tokenizer(about)
    ids = {key: tokenizer.convert_tokens_to_ids(token) for key, token in about["ids"].items()}
    marks = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    text = about["config"]["text_config"] | {"vocab_size": len(tokenizer) + 3} | marks
    settings = dict(about["config"]) | ids | {"text_config": text, "tie_word_embeddings": False}
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    torch.manual_seed(1)
    model: Any = AutoModelForImageTextToText.from_config(config)
    for name, parameter in model.named_parameters():  # features as loud as the words, so that answers depend on them
        if parameter.dim() > 1 and "language_model" not in name and "text_model" not in name and "embed" not in name:
            parameter.data.normal_(0, 0.3)
    # As Qwen's: settings that sample.
    model.generation_config = transformers.GenerationConfig(do_sample=True, top_k=3, repetition_penalty=1.05, **marks)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(about["template"])
    (folder / "preprocessor_config.json").write_text(json.dumps(about["images"]))
    (folder / "processor_config.json").write_text(json.dumps(about.get("processor", {})))
    return folder


def _tokenizer(about: dict[str, Any]) -> Any:
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *about["special"]]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340 + len(special), special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    texts = [f"User: Assistant: Is there a {colour} {shape} in the image?\n" for colour in COLOURS for shape in SHAPES]
    tokenizer.train_from_iterator(texts * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=about.get("end", "<|im_end|>"), pad_token="<|endoftext|>",
        extra_special_tokens=about.get("named", {}),
    )  # fmt: skip
