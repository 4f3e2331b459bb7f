"""Check that the images that the corpora name are there: found, missing and corrupt, per source and per archive.

Exit code 1 when one is missing or corrupt. No model is loaded, so do this before a GPU is used. Without FILE, the seed
captions, the pre-training corpus and the instruction mixes of the config are looked at, those that are there.

Examples:  s4v verify
           s4v verify --config config/released.yaml
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout, lineage
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import add_config, add_path, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="a LLaVA JSON (default: by the config)")
    add_config(parser)
    add_path(parser, "--out", layout.RESULTS / "missing.csv", "the list of what is missing or corrupt, to be written")


def run(options: Namespace) -> int:
    """Print the table, write the list."""
    from sharegpt4v.images.verify import FOUND, lines, verify

    config = config_of(options)
    mixes = [layout.DATA / mix for mix in config.corpora.instruction_mixes.values()]
    expected = list(dict.fromkeys([*lineage.corpora(config), *mixes]))
    files = options.files or [file for file in expected if file.is_file()]
    if not files:
        raise UserError(f"none of {', '.join(map(str, expected))} is there; fetch or make one of them first")
    counts = verify(files, layout.sources(config), layout.DATA, layout.WORK / "sources", options.out)
    print(f"images that {', '.join(file.name for file in files)} name\n")
    print("\n".join(lines(counts)))
    bad = sum(number for states in counts.values() for state, number in states.items() if state != FOUND)
    if bad:
        print(f"\n{bad:,} are missing or corrupt; each with the reason in {options.out}")
    return int(bad > 0)
