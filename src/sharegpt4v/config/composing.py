"""ruamel.yaml's composer, within bounds: a text becomes nodes that know their lines, and no value is worked out."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.nodes import Node
from ruamel.yaml.resolver import VersionedResolver

MOST_NODES = 4_000  # of a file
DEEPEST = 20


class _WordsAreText(VersionedResolver):
    """Takes every plain word for text; the tree reads it as YAML 1.2."""

    versioned_resolver: dict[str, list[Any]] = {}  # noqa: RUF012 - of no version of YAML


class _Bounded(Composer):
    """Composes no more nodes than a config has, so that a file of many small ones takes no time."""

    nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node:
        """Compose a node as ruamel.yaml does, unless there are too many."""
        self.nodes += 1
        if self.nodes > MOST_NODES:
            mark = self.parser.peek_event().start_mark
            raise ComposerError(None, None, f"more than {MOST_NODES:,} keys and values; expected a plain config", mark)
        node: Node = super().compose_node(parent, index)
        return node


def compose(text: str) -> Node | None:
    """Return the node at the top of a YAML text, None for an empty one; every plain value is text.

    Raises ruamel.yaml's `YAMLError`, of which `MaxDepthExceededError` is one, for what is not YAML or too much.
    """
    yaml = YAML(typ="base", pure=True)
    yaml.Composer, yaml.Resolver = _Bounded, _WordsAreText
    yaml.max_depth = DEEPEST + 1
    yaml.composer.warn_double_anchors = False
    node: Node | None = yaml.compose(text)
    return node
