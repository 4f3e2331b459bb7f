"""Bring the benchmarks' official files: download, unpack, check; say what only a person can bring.

Without NAME, all benchmarks of the config. What is in benchmarks.root already is never downloaded. The same command
again resumes after a kill. --dry-run lists what would come, with sizes and licences. Exit code 1 when something lacks.

Examples:  s4v fetch --config config/released.yaml --dry-run
           s4v fetch --config config/released.yaml gqa textvqa
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v.verbs.options import add_config, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="a benchmark, as gqa (default: all of the config)")
    add_config(parser)
    parser.add_argument("--dry-run", action="store_true", help="list what would be fetched, and fetch nothing")


def run(options: Namespace) -> int:
    """Fetch, then print a table of the files and a line for each benchmark."""
    from sharegpt4v.catalogues.benchmarks import benchmark_named
    from sharegpt4v.doctor.benchmarks import benchmark_finding
    from sharegpt4v.doctor.fetching import bring, files_of, table

    config = config_of(options)
    names = [benchmark_named(name).name for name in options.names] or list(config.benchmarks.names)
    files = files_of(config, names)
    if options.dry_run:
        print("\n".join(table(files)))
        return 0
    files = [bring(config, file) for file in files]
    findings = [benchmark_finding(config, name) for name in names]
    print("\n".join([*table(files), "", *map(str, findings)]))
    return int(any(file.remedy for file in files) or any(finding.remedy for finding in findings))
