"""The types that values of settings have, and the base of a section of settings.

Must not know single settings.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator  # noqa: TID251 - home of pydantic

from exporter.config.parsers import check_expanded, parse_duration

MAX_LOOKBACK: Final = 604800.0
"""The longest window, in seconds: Twilio lists the operations of 7 days."""


@dataclass(frozen=True)
class Kind:
    """The words for the values of a type in help, docs and messages."""

    metavar: str
    words: str


Duration = Annotated[float, BeforeValidator(parse_duration), Kind("DURATION", "a duration")]
Number = Annotated[float, Kind("NUMBER", "a number")]
Count = Annotated[int, Kind("COUNT", "a whole number")]

_FROZEN: Final = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class Section(BaseModel):
    """Base of all sections."""

    model_config = _FROZEN
    _expanded = field_validator("*", mode="before")(check_expanded)
