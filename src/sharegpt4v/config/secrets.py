"""Secrets stay in the environment: a config names the variable that holds one, and never the secret itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.config.tree import Entry, Location
from sharegpt4v.config.wording import dotted

SECRET_KEY = re.compile(r"api_?key|password|secret", re.IGNORECASE)
SECRET_VALUE = re.compile(r"sk-|hf_[A-Za-z0-9]{30}|Bearer\s|\w+://[^/\s@]*:[^/\s@]+@")
# Whoever's key is in an address would find it in every log and page that names the endpoint.
ENDPOINT_KEY = "base_url"
SECRET_ADDRESS = re.compile(r"\w+://[^/\s]*@|\S*[?#]|\S*/(sk-|hf_)")
VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


def secrets_in(tree: Entry, location: Location = ()) -> Iterator[str]:
    """Yield a line for every value that looks like a secret. The line names its place and never shows the value."""
    if isinstance(tree.value, dict):
        for key, entry in tree.value.items():
            yield from secrets_in(entry, (*location, key))
    elif isinstance(tree.value, list):
        for number, entry in enumerate(tree.value):
            yield from secrets_in(entry, (*location, number))
    elif tree.value is not None and _looks_secret(str(location[-1]) if location else "", str(tree.value)):
        yield (
            f"{tree.place}: {dotted(location)} seems to hold a secret; put it into an environment variable and write "
            "only the variable's name, as in 'api_key_variable: OPENAI_API_KEY'"
        )


def missing_keys(endpoints: Mapping[str, Endpoint], environ: Mapping[str, str]) -> list[str]:
    """Return a line for each environment variable that the sections name and `environ` lacks or holds empty."""
    return [
        f"environment variable {section.api_key_variable} is not set; expected the key of {section.base_url} in it, as "
        f"{name}.api_key_variable says; set it, or name another"
        for name, section in endpoints.items()
        if section.api_key_variable and not environ.get(section.api_key_variable)
    ]


def _looks_secret(key: str, value: str) -> bool:
    if SECRET_VALUE.match(value) or (key == ENDPOINT_KEY and SECRET_ADDRESS.match(value)):
        return True
    names_a_variable = key.endswith("_variable") and VARIABLE_NAME.fullmatch(value) is not None
    return SECRET_KEY.search(key) is not None and not names_a_variable
