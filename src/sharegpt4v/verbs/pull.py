"""Bring what `dvc.lock` records from the DVC remote, so that Snakemake sees nothing to do.

Images are not in the remote: they are fetched (in the mini preset, drawn) again, and have to be the ones that the
manifests pin. `dvc pull` alone is not enough, because Snakemake goes by the dates of files, and they come in any order.

Example:  s4v pull
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "--without-images",
        action="store_true",
        help="do not fetch images: enough to look at everything, not to train and answer again",
    )


def run(options: Namespace) -> None:
    """Fill the working folder with what `dvc.lock` records."""
    from sharegpt4v.config import load
    from sharegpt4v.pipeline.pull import pull
    from sharegpt4v.report.cards.writing import put_cards

    put_cards(load(pull(with_images=not options.without_images)))
