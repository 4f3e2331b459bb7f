"""Writes what follows from the config's model: `config/schema.json` for editors, and the page
`docs/reference/config.md`.

``python -m sharegpt4v.config.reference`` rewrites both; with ``--check`` it writes nothing and exits 1 on drift.
"""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

from sharegpt4v.config.wording import Schema, expected, schema
from sharegpt4v.files import write_text
from sharegpt4v.project import PROJECT

SCHEMA = PROJECT / "config/schema.json"
PAGE = PROJECT / "docs/reference/config.md"
COMMAND = "python -m sharegpt4v.config.reference"

# Parts in lists. A list replaces the one below it, so they have to be whole even in a partial preset.
WHOLE = {"TrainedModel", "SubstitutionPair", "Variant"}

INTRODUCTION = f"""# Config

Every number and path of a run is in its config, whose defaults are the paper's. So `paper-7b.yaml` is almost empty,
and `config.yaml`, the `mini` preset that is used when none is named, holds what differs from the paper. A preset may
also hold what differs from another, under a first key `base: config.yaml`: a path relative to the preset, or one such
as `config/config.yaml` for the project's own. Mappings merge key by key, those of the defaults too; lists replace;
`null` takes away. What is given on the command line comes last, e.g. `snakemake --config seed=3`, and nested keys as
`--config "teacher={{temperature: 0}}"`.

Unknown keys, impossible values and impossible combinations stop a run before it starts, with the file and line of each.
Paths are relative to the folder a run is started in, which is the project's own; a description says so where it is not.
Secrets are never in a config: name the environment variable that holds one.

`schema.json` lets an editor complete and check keys while you type. It and this page are written from the model in
`src/sharegpt4v/config/` by `{COMMAND}`; change a description there, not here.
"""


def editor_schema() -> Schema:
    """Return the JSON schema for editors: the model's, but presets may be partial and may name a `base`."""
    result = copy.deepcopy(schema())
    for name, part in {"Config": result, **result["$defs"]}.items():
        if name not in WHOLE:
            part.pop("required", None)
        for property_schema in part["properties"].values():
            property_schema.pop("title", None)
            if "patternProperties" in property_schema:  # other names are mistakes
                property_schema["additionalProperties"] = False
    base = {"type": "string", "description": "Path of the preset that this one builds on, relative to itself."}
    result["properties"] = {"base": base, **result["properties"]}
    return result


def schema_text() -> str:
    """Return the content of config/schema.json."""
    return json.dumps(editor_schema(), indent=2, ensure_ascii=False) + "\n"


def page_text() -> str:
    """Return the content of the page: the introduction, then a table of keys for each part of the model."""
    whole = schema()
    parts = [INTRODUCTION, "## The sections\n\n" + _table(whole)]
    for name in _parts_in_order(whole):
        part = whole["$defs"][name]
        parts.append(f"## {name}\n\n{' '.join(part['description'].split())}\n\n{_table(part)}")
    return "\n".join(parts)


def _parts_in_order(whole: Schema) -> list[str]:
    """Name the parts in the order in which the tables first mention them, the nested ones right after their owner."""
    found: dict[str, None] = {}

    def visit(part: Schema) -> None:
        for property_schema in part["properties"].values():
            name = _reference(property_schema)
            if name and name not in found:
                found[name] = None
                visit(whole["$defs"][name])

    visit(whole)
    return list(found)


def _reference(node: Any) -> str | None:
    """Return the name of the part that a property holds, be it directly, in a list, by name, or unless it is null."""
    if "$ref" in node:
        return str(node["$ref"].rpartition("/")[2])
    inner = [node.get("items"), *node.get("patternProperties", {}).values(), *node.get("anyOf", ())]
    return next((name for child in inner if isinstance(child, dict) and (name := _reference(child))), None)


def _table(part: Schema) -> str:
    lines = ["| Key | Takes | Default | Meaning |", "|---|---|---|---|"]
    for key, node in part["properties"].items():
        name = _reference(node)
        takes = f"[{name}](#{name.lower()})" if name else expected(node)
        if name and node.get("type") == "array":
            takes = "a list of " + takes
        if name and "patternProperties" in node:
            takes = "names, each with " + takes
        lines.append(f"| `{key}` | {takes} | {_default(key, part)} | {node['description']} |")
    return "\n".join(lines) + "\n"


def _default(key: str, part: Schema) -> str:
    if key in part.get("required", ()):
        return "to be given"
    node = part["properties"][key]
    default, name = node["default"], _reference(node)
    if isinstance(default, dict) and name and "patternProperties" not in node:
        own = schema()["$defs"][name]["properties"]
        default = {key: value for key, value in default.items() if own[key].get("default", ...) != value}
        return f"`{json.dumps(default)}`" if default else "its own defaults"
    return f"`{json.dumps(default)}`"


def main(arguments: list[str]) -> int:
    """Write both files, or with `--check` compare them; return the exit status."""
    drifted = 0
    for path, text in {SCHEMA: schema_text(), PAGE: page_text()}.items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            print(f"{path.name} differs from the model in src/sharegpt4v/config; run: {COMMAND}", file=sys.stderr)
            drifted = 1
        else:
            write_text(path, text)
    return drifted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
