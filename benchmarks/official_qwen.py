"""What Qwen's own code computes with the small model of tests/tiny_qwen.py: the numbers of tests/golden/qwen_vl.json.

Run it with transformers 4.32, torch, torchvision, tiktoken, einops, matplotlib and transformers_stream_generator, and
with the Python files of Qwen/Qwen-VL-Chat in the folder MODEL and finetune.py of QwenLM/Qwen-VL@aa00ed0 beside. That
code is used as it is, and is no part of this project. The numbers there are of transformers 4.32.0 and torch 2.14.1,
with the copy of those files in Immerso-AIIP-Ltd/Qwen-VL-Chat@4582d23. Printed are the logits after each token, of
every 31st id, for a prompt with an image and one without, in float32 on the CPU; and ids and labels of rows by
`preprocess`, with the 256 places of an image as one.

Example:  python benchmarks/official_qwen.py MODEL finetune.py > tests/golden/qwen_vl.json
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

import torch
import transformers

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import tiny_qwen

EVERY = 31
IGNORED = -100


def main() -> None:
    """Write the numbers as JSON."""
    code, finetune = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).read_text()
    sys.path.insert(0, str(code.parent))
    os.chdir(
        tempfile.mkdtemp()
    )  # the model opens the picture there, and the tokenizer a font that it does not use here
    Path("SimSun.ttf").touch()
    configuration, modeling, tokenization = (
        importlib.import_module(f"{code.name}.{part}")
        for part in ("configuration_qwen", "modeling_qwen", "tokenization_qwen")
    )
    tiny_qwen.picture().save(tiny_qwen.PATH, "PNG")
    folder = tiny_qwen.write_original(Path("model"))
    tokenizer = tokenization.QWenTokenizer(str(folder / "qwen.tiktoken"))
    settings = json.loads((folder / "config.json").read_text())
    model = modeling.QWenLMHeadModel(configuration.QWenConfig(**settings | {"fp32": True})).eval()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tiny_qwen.weights().items()})

    found: dict[str, object] = {"torch": torch.__version__, "transformers": transformers.__version__}
    vars(tokenization)["IMG_TOKEN_SPAN"] = tiny_qwen.QUERIES
    for kind, picture in (("image", f"Picture 1: <img>{tiny_qwen.PATH}</img>\n"), ("text", "")):
        ids = tokenizer(tiny_qwen.PROMPT.format(picture), return_tensors="pt").input_ids
        with torch.no_grad():
            logits = model(ids).logits[0, :, ::EVERY]
        found[kind] = {"ids": ids[0].tolist(), "logits": [[float(f"{x:.9g}") for x in row] for row in logits.tolist()]}

    vars(tokenization)["IMG_TOKEN_SPAN"] = span = 256
    tokenizer.pad_token_id = tokenizer.eod_id
    names = {"torch": torch, "transformers": transformers, "Dict": dict, "IGNORE_TOKEN_ID": IGNORED}
    begin = finetune.index("def preprocess(")
    exec(finetune[begin : finetune.index("\nclass ", begin)], names)
    rows = []
    for row in tiny_qwen.official_rows():
        made = names["preprocess"]([row], tokenizer, 1024)  # type: ignore[operator]
        length = int(made["attention_mask"].sum())
        ids, labels = (made[key][0, :length].tolist() for key in ("input_ids", "labels"))
        if tokenizer.img_start_id in ids:
            first = ids.index(tokenizer.img_start_id) + 1
            assert ids[first + span] == tokenizer.img_end_id and set(labels[first : first + span]) == {IGNORED}
            ids[first : first + span], labels[first : first + span] = [tokenizer.img_pad_id], [IGNORED]
        rows.append({"ids": ids, "labels": labels})
    found["rows"] = rows
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
