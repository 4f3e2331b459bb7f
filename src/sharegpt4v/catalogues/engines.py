"""The generation engines: the files of the folder `generation`. Python alone is needed to know them."""

from __future__ import annotations

from sharegpt4v.code_hash import names_in

ENGINES = tuple(name for name in names_in("generation") if name != "engine")
