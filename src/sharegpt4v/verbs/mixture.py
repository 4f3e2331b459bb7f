"""Write how many rows of each source the corpora had, lost, got, and have (paper: 665,298 - 23,240 + 23,000 = 665,058).

Example:  s4v mixture --config config/config.yaml
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_config, add_path, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)
    add_path(parser, "--out", layout.MIXTURE, "the table to write")


def run(options: Namespace) -> None:
    """A row per corpus and source; of a corpus that was taken, the rows are counted."""
    from sharegpt4v.corpora.arithmetic import write_mixture

    config = config_of(options)
    made = [(corpus, not layout.is_taken(config, corpus)) for corpus in layout.corpora(config)]
    write_mixture(made, options.out)
