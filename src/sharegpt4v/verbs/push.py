"""Upload a data set or a model with its card to the Hugging Face Hub.

What is pushed is a folder that `s4v export dataset` wrote, a checkpoint, or by its name a set of the run (exported as
Parquet, without images) or one of its models. The token comes from the environment, HF_TOKEN, and the address of
another Hub from HF_ENDPOINT. What is there already is not sent again, so the same command resumes.

Example:  s4v push captions me/captions-of-my-run --private --dry-run
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v.verbs.options import add_config, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)
    parser.add_argument("what", metavar="FOLDER|SET|MODEL", help="a folder, or the name of a set or a model of the run")
    parser.add_argument("repository", metavar="REPOSITORY", help="where it goes, as OWNER/NAME; it is made when needed")
    parser.add_argument("--private", action="store_true", help="only you see it; refused when it is there and public")
    parser.add_argument("--dry-run", action="store_true", help="list the files with their sizes in bytes, send nothing")
    parser.add_argument(
        "--despite-licence", metavar="REASON", help="push what a licence forbids, as REASON says why you may"
    )


def run(options: Namespace) -> None:
    """Push one folder."""
    from sharegpt4v.sharing.push import folder_of, push

    config = config_of(options)
    push(
        config,
        folder_of(config, options.what),
        options.repository,
        private=options.private,
        dry_run=options.dry_run,
        despite_licence=options.despite_licence,
    )
