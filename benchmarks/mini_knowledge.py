"""What the parts of a miniature have learned, measured on pictures and texts that are new to them.

    python benchmarks/mini_knowledge.py runs/seed-0 --model llava-1.5-13b+sharegpt4v

takes a finished run and prints three tables; every number is of 100:

- the vision tower: how often a linear probe on all of its tokens names the shape of a picture's objects, and the area
  under the curve of a small network that sees the tokens one by one and tells which places are taken;
- the language models, given sixteen tags of a scene: open questions, yes/no questions, choices among two and among
  four, and the words of alt-texts;
- a model: of the facts in its captions those that are right, and of the facts of the scenes those that are in its
  captions; then its answers to open and to yes/no questions, aspect by aspect.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from sharegpt4v import layout
from sharegpt4v.evaluation.base import mean
from sharegpt4v.generation.engine import Engine, Request
from sharegpt4v.generation.local import Generator
from sharegpt4v.mini.describe import alt_text, caption
from sharegpt4v.mini.draw import draw
from sharegpt4v.mini.evaluation.asking import OBJECT_ASPECTS, picture, scene_about
from sharegpt4v.mini.facts import facts_in
from sharegpt4v.mini.instructions import DETAIL_QUESTIONS, LETTER, SHORT, lettered, with_context
from sharegpt4v.mini.questions import CHOICE, Asked, ask_all, values_of
from sharegpt4v.mini.scene import PLACES, Scene, sample_scene
from sharegpt4v.mini.text import as_tags, tags
from sharegpt4v.models.loading import load_model, load_part
from sharegpt4v.models.pixels import to_pixels, to_square
from sharegpt4v.models.templates import Text, encode, v1_text
from sharegpt4v.terminal import plain_table

FORMS = ("open", "yes/no", "choice of 2", "choice of 4")
TAGS = 16
Rates = dict[str, list[float]]
"""By what was asked: 1 for what was right and 0 for what was not, or areas under curves."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run of the miniature")
    parser.add_argument("--model", default="sharegpt4v-7b", help="whose captions and answers (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=200, help="new pictures, lists, questions (default: 200)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    show("vision tower", tower_rates(options.run / layout.TOWER, options.pictures))
    for folder in sorted((options.run / layout.TOWER.parent).glob("llm-*")):
        show(folder.name, reading_rates(folder, options.pictures))
    generator = Generator(options.run / layout.finetuned(options.model), 64)
    show(options.model, caption_rates(generator, options.pictures) | answer_rates(generator, options.pictures))


def show(what: str, rates: Rates) -> None:
    """Print a table."""
    rows = [
        [name, f"{100 * mean(values):.0f}" if values else "-", f"{len(values):,}"] for name, values in rates.items()
    ]
    print(plain_table([[what, "of 100", "asked"], *rows], right=(1, 2)), end="\n\n")


def new_scene(what: str, number: int) -> tuple[Scene, Random]:
    """A scene of objects that no run has: its seed is a text of this script."""
    random = Random(f"knowledge/{what}/{number}")
    return sample_scene("coco", random), random


def tower_rates(folder: Path, pictures: int) -> Rates:
    """Probe a tower on new pictures; the probes are trained on eight times as many others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from transformers import CLIPModel

    tower = load_model(CLIPModel, folder).vision_model.eval()
    seen, tokens = _tokens(tower, "probe", 8 * pictures)
    asked, others = _tokens(tower, "tower", pictures)
    tokens, others = ((part - tokens.mean((0, 1))) / tokens.std((0, 1)) for part in (tokens, others))
    alike, of_asked = ([values_of(scene, "existence") for scene in part] for part in (seen, asked))
    known, new = ([n for n, one in enumerate(part) if len(one) == 1] for part in (alike, of_asked))
    probe = LogisticRegression(C=0.003, max_iter=200)
    probe.fit(tokens[known].flatten(1).numpy(), [alike[n][0] for n in known])
    named = probe.predict(others[new].flatten(1).numpy())
    found = _places(tokens, _taken(seen), others)
    areas = [float(roc_auc_score(_taken(asked)[:, place], found[:, place])) for place in range(len(PLACES))]
    return {
        "shape, by a linear probe": [float(name == of_asked[n][0]) for name, n in zip(named, new, strict=True)],
        "places, area under the curve": areas,
    }


def _tokens(tower: Any, what: str, count: int) -> tuple[list[Scene], torch.Tensor]:
    """Scenes, and what a LLaVA model sees of their pictures: scenes x tokens x width."""
    size, scenes, features = tower.config.image_size, list[Scene](), list[torch.Tensor]()
    for number in range(count):
        scene, random = new_scene(what, number)
        pixels = to_pixels([to_square(draw(scene, random, size), size, "square")], size, "square")
        with torch.inference_mode():
            features.append(tower(pixel_values=pixels, output_hidden_states=True).hidden_states[-2][0, 1:])
        scenes.append(scene)
    return scenes, torch.stack(features).clone()


def _taken(scenes: Sequence[Scene]) -> torch.Tensor:
    return torch.tensor([[float(place in values_of(scene, "position")) for place in PLACES] for scene in scenes])


def _places(tokens: torch.Tensor, taken: torch.Tensor, others: torch.Tensor, steps: int = 400) -> torch.Tensor:
    """What a small network says of the places of `others`, pictures x places; it sees each token by itself."""
    torch.manual_seed(0)
    width = tokens.shape[-1]
    network = torch.nn.Sequential(torch.nn.Linear(width, 128), torch.nn.GELU(), torch.nn.Linear(128, len(PLACES)))
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
    for _ in range(steps):
        chosen = torch.randint(len(tokens), (64,))
        binary_cross_entropy_with_logits(network(tokens[chosen]).logsumexp(1), taken[chosen]).backward()
        optimiser.step()
        optimiser.zero_grad()
    with torch.inference_mode():
        said: torch.Tensor = network(others).logsumexp(1)
    return said


def reading_rates(folder: Path, lists: int) -> Rates:
    """Whether a language model's most likely next token is the right one, after lists of tags that are new to it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = load_model(AutoModelForCausalLM, folder).eval(), load_part(AutoTokenizer, folder)
    rates: Rates = {name: [] for name in (*FORMS, "words of alt-texts")}
    for number in range(lists):
        scene, random = new_scene("text", number)
        listed = tags(scene, random, TAGS)
        for form in FORMS:
            if asked := [
                one for one in ask_all(scene, random) if form.split()[0] in one.forms and one.answer in listed
            ]:
                rates[form] += _right(model, tokenizer, _question(random.choice(asked), form, listed, random))[:1]
        context = as_tags(listed)
        text = f" {context}{alt_text(scene)}\n"
        rates["words of alt-texts"] += _right(model, tokenizer, (text, [(len(context) + 1, len(text))]))
    return rates


def _question(asked: Asked, form: str, listed: Sequence[str], random: Random) -> Text:
    if form == "open":
        question, answer = asked.question + SHORT, asked.answer
    elif form == "yes/no":
        question, answer = asked.yes_no(random, random.random() < 0.5)
        question += SHORT
    else:
        options, answer = asked.options(random, int(form[-1]))
        question = CHOICE + lettered(options) + LETTER
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return v1_text(with_context(as_tags(listed), turns))


def _right(model: Any, tokenizer: Any, text: Text) -> list[float]:
    """Of each supervised token, whether it is what the model would have said."""
    sample = encode(tokenizer, *text, 0)
    ids, labels = torch.tensor(sample.ids), torch.tensor(sample.labels)
    with torch.inference_mode():
        likeliest = model(ids[None]).logits[0].argmax(-1)
    supervised = labels[1:] >= 0
    return (likeliest[:-1] == ids[1:])[supervised].float().tolist()  # type: ignore[no-any-return]


def caption_rates(generator: Engine, pictures: int) -> Rates:
    """The facts of a model's captions, and those of the scenes, by whether they are in the other too."""
    scenes, requests = list[Scene](), list[Request]()
    for number in range(pictures):
        scene, random = new_scene("caption", number)
        scenes.append(scene)
        requests.append(Request(DETAIL_QUESTIONS[0], picture(scene, random, 48), 96))
    rates: Rates = {"captions: facts that are right": [], "captions: facts that are said": []}
    for number, answer in generator.answer(requests):
        said, true = facts_in(answer.text), facts_in(caption(scenes[number]))
        shared = (said & true).total()
        rates["captions: facts that are right"] += [1.0] * shared + [0.0] * (said.total() - shared)
        rates["captions: facts that are said"] += [1.0] * shared + [0.0] * (true.total() - shared)
    return rates


def answer_rates(generator: Engine, questions: int) -> Rates:
    """A model's answers to new questions in two forms, aspect by aspect."""
    asked = list(_asked(questions))
    rates: Rates = {name: [] for name, _, _ in asked}
    for number, answer in generator.answer([request for _, request, _ in asked]):
        name, _, truth = asked[number]
        rates[name].append(float(answer.text.strip().lower() == truth.lower()))
    return rates


def _asked(questions: int) -> Iterator[tuple[str, Request, str]]:
    for form in FORMS[:2]:
        for aspect in OBJECT_ASPECTS:
            for number in range(questions):
                random = Random(f"knowledge/{form}/{aspect}/{number}")
                scene, one = scene_about(aspect, random, form)
                truth = random.random() < 0.5
                question, answer = (one.question, one.answer) if form == "open" else one.yes_no(random, truth)
                yield f"{form}: {aspect}", Request(question + SHORT, picture(scene, random, 48), 8), answer


if __name__ == "__main__":
    main()
