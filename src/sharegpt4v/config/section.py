"""What all sections of the config share: strictness, and the kinds of value that several of them use."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the config: frozen once read, and refusing every key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]

# `patternErrorMessage` is what editors, and this project's own errors, show in place of the pattern. An underscore is
# not allowed because the published answer files cut a model's name at the first one.
Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9.+-]*$",
        json_schema_extra={"patternErrorMessage": "a name of small letters, digits, '.', '+' and '-'"},
    ),
]
