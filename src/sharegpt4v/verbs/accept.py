"""Keep artefacts after a harmless change of the code: Snakemake then reruns nothing because of it.

Name the stages as `snakemake --dry-run` does. The reason goes into the provenance of the artefacts and into
logs/accepted.jsonl. Where DVC records the run, `dvc commit` afterwards records it as it is.

Example:  s4v accept finetuning answers --because "only a message changed"
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("stages", nargs="+", metavar="STAGE", help="as `snakemake --dry-run` names it")
    parser.add_argument("--because", required=True, metavar="TEXT", help="why the results are the same")


def run(options: Namespace) -> None:
    """Print how many outputs of each stage were accepted."""
    from sharegpt4v.pipeline.accept import accept

    for stage, count in accept(options.stages, options.because).items():
        print(f"{stage}: {count} outputs count as made by this code")
