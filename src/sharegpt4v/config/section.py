"""What all sections of the config share: strictness, and the kinds of value that several of them use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _below_data(path: Path) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)*", path.as_posix()):
        raise ValueError
    return path


class Section(BaseModel):
    """A part of the config: frozen once read, and refusing every key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]

# Names become names of files and words of shell commands. `patternErrorMessage` is what editors, and this project's own
# errors, show in place of the pattern. An underscore is not allowed in the name of a model because the published answer
# files cut it at the first one.
Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9.+-]*$",
        max_length=64,
        json_schema_extra={"patternErrorMessage": "a name of at most 64 small letters, digits, '.', '+' and '-'"},
    ),
]
SourceName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$",
        max_length=64,
        json_schema_extra={"patternErrorMessage": "a name of at most 64 letters, digits, '.', '_', '+' and '-'"},
    ),
]
DataPath = Annotated[
    Path,
    AfterValidator(_below_data),
    Field(json_schema_extra={"patternErrorMessage": "a path below `data/` of letters, digits, '.', '_', '+' and '-'"}),
]
