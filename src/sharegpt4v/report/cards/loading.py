"""How to load a checkpoint or a data set, as code that runs: with transformers, with vLLM, with this project."""

from __future__ import annotations

from pathlib import Path

from sharegpt4v.report.cards.rendering import code, paragraphs

IMAGE = "photograph.jpg"
TRANSFORMERS = """from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

folder = "{folder}"
model = AutoModelForImageTextToText.from_pretrained(folder)
processor = AutoProcessor.from_pretrained(folder, backend="pil")
image = Image.open("{image}").convert("RGB")
content = [{{"type": "image", "image": image}}, {{"type": "text", "text": "{question}"}}]
inputs = processor.apply_chat_template(
    [{{"role": "user", "content": content}}],
    add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
)
written = model.generate(**inputs, max_new_tokens=64)[0, inputs["input_ids"].shape[1]:]
print(processor.decode(written, skip_special_tokens=True))"""
HERE = """from sharegpt4v import load

model = load("{folder}")
print(model.ask("{image}", "{question}"))"""
VLLM = """python -m vllm.entrypoints.openai.api_server --model {folder} --limit-mm-per-prompt '{{"image": 1}}' \\
  --mm-processor-kwargs '{{"backend": "pil"}}'"""
EXPORT = "s4v export {folder} --layout vllm --out for-vllm\n"
TOWER = """from transformers import CLIPModel

model = CLIPModel.from_pretrained("{folder}")
tower = model.vision_model"""
LANGUAGE_MODEL = """from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")"""
DATA = """from datasets import load_dataset

rows = load_dataset("json", data_files="{files}", split="train")
print(rows[0])"""
SHARDS = """from datasets import Features, Value, load_dataset

columns = ("image", "sha256", "caption", "status", "reason")
features = Features({{column: Value("string") for column in columns}})  # a shard may hold no reason at all
rows = load_dataset("json", data_files="{files}", features=features, split="train")
print(rows[0])"""
QUESTION = "What is in the image?"


def multimodal(folder: Path, family: str, needs_export: bool) -> str:
    """Return how to ask a multi-modal model; `needs_export` says that vLLM has no class for it as it is."""
    place = folder.as_posix()
    texts = {"folder": place, "image": IMAGE, "question": QUESTION}
    by_transformers = family in ("llava", "auto")
    served = VLLM.format(folder="for-vllm" if needs_export else place)
    served = EXPORT.format(folder=place) + served if needs_export else served
    return paragraphs(
        "The path is that of the run; where the folder has come from elsewhere, name its place or its repository.",
        *(("With transformers alone:", code("python", TRANSFORMERS.format(**texts))) if by_transformers else ()),
        "With this project, which asks with the prompt and the pixels of the training:",
        code("python", HERE.format(**texts)),
        *(("With vLLM:", code("text", served)) if by_transformers else ()),
    )


def part(folder: Path, stage: str) -> str:
    """Return how to load a vision tower or a language model."""
    texts = {"vision_tower": TOWER, "language_model": LANGUAGE_MODEL}
    return code("python", texts[stage].format(folder=folder.as_posix()))


def data(path: Path) -> str:
    """Return how to load a LLaVA JSON file, or the shards of a folder of captions."""
    template, files = (DATA, path) if path.suffix else (SHARDS, path / "*-of-*.jsonl")
    return paragraphs(
        "Rows name their images by paths below `data/`; the images themselves are fetched by the pipeline.",
        code("python", template.format(files=files.as_posix())),
    )
