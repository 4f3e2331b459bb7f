"""Check a config and show it with every key resolved. Mistakes are told one line each, with file and line.

Example:  s4v config config/config.yaml
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.project import preset


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "config",
        type=preset,
        nargs="?",
        default=layout.config_here(),
        help="the file (default: that of the run in this folder, else config/config.yaml)",
    )


def run(options: Namespace) -> None:
    """Print the resolved config as YAML."""
    import yaml

    from sharegpt4v.config import load

    config = load(options.config)
    layout.sources(config)
    layout.require_folders(config)
    print(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")
