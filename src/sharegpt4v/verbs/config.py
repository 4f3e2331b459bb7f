"""Check a config and show it with every key resolved. Mistakes are reported one line each, with file and line.

Example:  s4v config --config config/config.yaml
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_config, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)


def run(options: Namespace) -> None:
    """Print the resolved config as YAML."""
    import yaml

    config = config_of(options)
    layout.sources(config)
    layout.require_folders(config)
    print(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")
