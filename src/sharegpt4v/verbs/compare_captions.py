"""Compare two sets of captions of the same images: which one a judge or people prefer, and what can be measured.

A and B are what `s4v review` takes: shards of captions or a folder of them, a corpus in LLaVA's form, or what
`s4v caption` wrote. Of the images that both caption, --count are chosen by the seed of the config.

A judge sees the image and both captions, in both orders; a caption wins when it is preferred both times. The judge is
the config's teacher, or any other OpenAI-compatible vision model (--base-url, --model). A model that wrote one of the
sets may prefer its own. With --people, you choose, in a browser on this machine, without seeing whose caption it is.

--out gets preference.csv (counts, win rates with 95 % intervals, position bias, agreement of people with the judge),
its figure, and caption_quality.csv: length, repetition, with --objects hallucinated and found objects (CHAIR), and in
the miniature exact precision and recall of facts. These are of all images that both sets caption.

Every reply is on disk the moment it exists: after a kill, the same command asks only for what is missing.

Examples:  s4v compare-captions data/sharegpt4v/detail_23k.json data/captions --no-judge
           s4v compare-captions a.jsonl b.jsonl --images ~/photographs --base-url http://127.0.0.1:8000/v1 --model M
           s4v compare-captions a.jsonl b.jsonl --images ~/photographs --people
           s4v compare-captions a.jsonl b.jsonl --objects data/coco/annotations/instances_train2017.json --no-judge
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import add_config, add_path, add_served_model, asked_by, config_of, notice_around

if TYPE_CHECKING:
    from sharegpt4v.caption_quality.outcomes import Preference
    from sharegpt4v.caption_quality.pairs import Pair
    from sharegpt4v.config import Config
    from sharegpt4v.config.endpoint import Endpoint
    from sharegpt4v.corpora.caption_files import Row

WORK = layout.WORK / "preferences"
PROMPT = Path("config/prompts/preference.txt")
WORDS = Path("config/coco_objects.tsv")
PEOPLE = "people"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("a", type=Path, metavar="A", help="captions: a file, or a folder of files")
    parser.add_argument("b", type=Path, metavar="B", help="other captions of the same images")
    add_path(parser, "--images", layout.DATA, "the folder that the names of images are below")
    add_path(parser, "--out", layout.RESULTS, "the folder that gets the tables and the figure")
    parser.add_argument(
        "--count", type=int, default=100, metavar="N", help="images to choose between (default: 100, as in the paper)"
    )
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--people", action="store_true", help="serve the page on which a person chooses, until Ctrl-C")
    who.add_argument("--no-judge", action="store_true", help="ask nobody; count what people have chosen, and measure")
    parser.add_argument("--person", default="one person", metavar="NAME", help="who chooses, where several do")
    parser.add_argument(
        "--port", type=int, default=8421, metavar="N", help="the port of the page (default: 8421; 0: a free one)"
    )
    parser.add_argument(
        "--prompt", type=Path, metavar="FILE", help=f"the judge's, with $first and $second (default: {PROMPT})"
    )
    parser.add_argument(
        "--objects", type=Path, metavar="FILE", help="objects of the images, as COCO's instances_*.json"
    )
    parser.add_argument(
        "--budget", type=float, metavar="USD", help="send the judge nothing that could pass this, over all comparisons"
    )
    add_served_model(parser)
    add_config(parser)


def run(options: Namespace) -> None:
    """Choose the images, have them judged, and write the tables and the figure."""
    from sharegpt4v.caption_quality.outcomes import Preference, win_rates
    from sharegpt4v.caption_quality.pairs import choose_pairs, images_in_both
    from sharegpt4v.caption_quality.people import preferences_of_people
    from sharegpt4v.report.preference_figure import preference_figure

    config = config_of(options)
    if options.count < 1:
        raise UserError(f"--count {options.count}: expected at least 1")
    options.images = options.images.expanduser()
    common = images_in_both(options.a, options.b)
    pairs = choose_pairs(options.a, options.b, common, options.count, config.seed)
    print(f"{len(common):,} images in both, {len(pairs):,} of them to choose between", file=sys.stderr)
    names, notice = (str(options.a), str(options.b)), notice_around(options.a)
    if notice:
        print(notice)
    if options.people:
        _serve(options, pairs, notice)
        return
    _measure(options, common)
    rows, judged = list[dict[str, Any]](), list[Preference]()
    if not options.no_judge:
        endpoint = _endpoint(options, config)
        judged = _judge(options, endpoint, pairs)
        rows = win_rates(endpoint.model, judged, names)
    if people := preferences_of_people(pairs, WORK / "people.jsonl"):
        rows += win_rates(PEOPLE, people, names, judged)
    if rows:
        table = options.out / layout.PREFERENCE.name
        _write(table, rows)
        preference_figure(table, [options.out / "figures" / f"preference.{kind}" for kind in ("svg", "png")], notice)


def _endpoint(options: Namespace, config: Config) -> Endpoint:
    """The judge: the teacher of the config, or what the options name, within the budget."""
    from sharegpt4v.config.endpoint import Endpoint
    from sharegpt4v.stages.endpoints import within_budget

    teacher = Endpoint(**{name: getattr(config.teacher, name) for name in Endpoint.model_fields})
    section = config.captions.model_copy(update={"engine": "endpoint", "endpoint": teacher})
    asked = asked_by(options, section)[1].endpoint
    assert asked is not None
    if asked.model != teacher.model:  # its prices are not the judge's
        asked = asked.model_copy(update={"budget": None})
    return within_budget(asked, teacher, options.budget)


def _judge(options: Namespace, endpoint: Endpoint, pairs: list[Pair]) -> list[Preference]:
    """Ask the judge, or the project's own for the miniature."""
    from sharegpt4v.caption_quality.judging import MAX_TOKENS, judge_pairs, read_prompt
    from sharegpt4v.ledger import key_of
    from sharegpt4v.mini.endpoint import serve
    from sharegpt4v.mini.facts import prefer_by_hash
    from sharegpt4v.stages.endpoints import endpoint_settings

    prompt, ledger = read_prompt(options.prompt or layout.of_project(PROMPT)), WORK / f"{key_of(endpoint.model)}.jsonl"
    mini = endpoint.base_url == "mini"
    if mini and not layout.SCENES.is_file():
        raise UserError(
            f"{endpoint.model}: the judge of the miniature knows its own scenes alone ({layout.SCENES} is not there); "
            "name another by --base-url and --model, or ask nobody by --no-judge"
        )
    with serve(prefer_by_hash(layout.SCENES), model=endpoint.model) if mini else nullcontext(endpoint.base_url) as url:
        settings = endpoint_settings(endpoint, url, temperature=0.0, max_tokens=MAX_TOKENS, image_detail="high")
        return judge_pairs(pairs, options.images, prompt, settings, ledger)


def _measure(options: Namespace, images: set[str]) -> None:
    """Write what can be measured of both sets, and print it."""
    from sharegpt4v.caption_quality.measures import measure
    from sharegpt4v.caption_quality.objects import phrases_of, read_annotations, read_words
    from sharegpt4v.caption_quality.pairs import captions_in
    from sharegpt4v.mini.facts import fact_counter

    annotated = read_annotations(options.objects) if options.objects else {}
    phrases = phrases_of(set().union(*annotated.values()), read_words(layout.of_project(WORDS)))
    facts = fact_counter(layout.SCENES, options.images) if layout.SCENES.is_file() else None
    rows = []
    for path in (options.a, options.b):
        captions = _with_progress(captions_in(path, images), path, len(images))
        rows += measure(str(path), captions, annotated, phrases, facts)
    _write(options.out / layout.CAPTION_QUALITY.name, rows)


def _with_progress(captions: Iterator[Row], path: Path, count: int) -> Iterator[Row]:
    from sharegpt4v.progress import Progress

    progress = Progress(f"measures of {path.name}", count, "captions")
    for row in captions:
        yield row
        progress.advance()


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a table, and print its rows of all sources: a line per column, as names of sets are long."""
    from sharegpt4v.files import write_csv
    from sharegpt4v.terminal import plain_table

    write_csv(path, [list(rows[0]), *(list(row.values()) for row in rows)])
    whole = [row for row in rows if row["source"] == "all"]
    lines = [[name, *(str(row[name]) for row in whole)] for name in whole[0] if any(row[name] != "" for row in whole)]
    print(plain_table(lines, right=()), end="\n\n")


def _serve(options: Namespace, pairs: list[Pair], notice: str) -> None:
    """Serve the page until a signal asks this command to end."""
    from sharegpt4v.caption_quality.people import Study
    from sharegpt4v.loopback import server_of
    from sharegpt4v.report.review.loopback import listen_at, new_secret
    from sharegpt4v.report.review.study import application

    secret = new_secret()
    with Study(pairs, options.person, WORK / "people.jsonl") as study, listen_at(options.port) as listener:
        app = application(study, options.images, notice, secret)
        print(f"{len(pairs):,} pairs at http://127.0.0.1:{listener.getsockname()[1]}/{secret}/", flush=True)
        server_of(app).run(sockets=[listener])
