"""Every licence that a catalogue names is in the table of licences, and what binds a model follows from its lineage."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharegpt4v import layout
from sharegpt4v.catalogues.checkpoints import read_checkpoints
from sharegpt4v.catalogues.licences import read_terms, terms_in, terms_of_answers, terms_of_checkpoint
from sharegpt4v.catalogues.sources import read_catalogue
from sharegpt4v.config import load
from sharegpt4v.errors import UserError
from sharegpt4v.origins import Origin, origins_of, parents_of, terms_of

CONFIG = Path("config")


def test_every_licence_of_the_catalogues_is_in_the_table() -> None:
    cells = {checkpoint.licence for checkpoint in read_checkpoints().values()}
    for name in ("sources.tsv", "sources.mini.tsv"):
        cells |= {source.licence for source in read_catalogue(CONFIG / name).values()}
    cells.add(layout.sources(load(CONFIG / "paper-7b.yaml"))["coco"].licence)
    named = {terms.name for cell in cells for terms in terms_in(cell)}
    assert named <= read_terms().keys()


def test_unknown_terms_have_to_be_asked_for() -> None:
    assert [(one.name, one.hub, one.redistribute) for one in terms_in("MIT; the mayor's")] == [
        ("MIT", "mit", "yes"),
        ("the mayor's", "other", "ask"),
    ]
    assert [one.redistribute for one in terms_of_checkpoint("nobody/nothing")] == ["ask"]


def test_answers_come_under_the_terms_of_their_provider() -> None:
    assert terms_of_answers("gpt-4o-2024-08-06")[0].name == "OpenAI's terms"
    assert terms_of_answers("lmsys/vicuna-7b-v1.5")[0].name == "Llama 2 community licence"
    assert terms_of_answers("some-model")[0].redistribute == "ask"


def test_a_broken_row_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "licences.tsv"
    table.write_text("name\thub\tredistribute\tendpoint_models\tnote\taddress\nMine\tmit\tperhaps\t\t\t\n")
    with pytest.raises(UserError, match="'Mine': expected each name once, its name on the Hub, and yes, no or ask"):
        read_terms(table)


def test_the_terms_of_a_model_follow_from_its_lineage() -> None:
    config = load(CONFIG / "paper-7b.yaml")
    bound = terms_of(config, layout.finetuned("sharegpt4v-7b"))
    assert {terms.name: names for terms, names in bound.items()} == {
        "MIT": ["openai/clip-vit-large-patch14-336"],
        "Llama 2 community licence": ["lmsys/vicuna-7b-v1.5"],
        "not known; ask whoever publishes it": ["liuhaotian/llava-v1.5-mlp2x-336px-pretrain-vicuna-7b-v1.5"],
        "OpenAI's terms": ["gpt-4o", "llava-mix665k"],
        "CC BY 4.0": ["llava-mix665k"],
    }
    images = terms_of(config, layout.SEED_CAPTIONS, with_images=True).keys() - terms_of(config, layout.SEED_CAPTIONS)
    assert "Flickr's terms of use" in {terms.name for terms in images}


def test_a_published_corpus_has_its_own_terms_and_no_teacher() -> None:
    config = load(CONFIG / "released-captions.yaml")
    assert {terms.name for terms in terms_of(config, layout.SEED_CAPTIONS)} == {"CC BY-NC 4.0", "OpenAI's terms"}
    assert "endpoint" not in {origin.kind for origin in origins_of(config, layout.PRETRAINING_CORPUS)}


def test_everything_that_a_run_makes_has_parents() -> None:
    from sharegpt4v import lineage

    for preset in ("config", "smoke", "paper-7b", "paper-13b", "released", "released-captions"):
        config = load(CONFIG / f"{preset}.yaml")
        for path in [*lineage.trainings(config).values(), *lineage.corpora(config)]:
            assert parents_of(config, path), f"{preset}: {path}"
            assert all(isinstance(origin, Origin) and origin.terms for origin in origins_of(config, path))
