"""Generates alerts.yaml from its template and the thresholds.

The rules are written in the template, as in any rule file; only their numbers are computed here. This module
must not know the rules.
"""

from pathlib import Path
from typing import Final

import jinja2

from grafana import thresholds
from grafana.thresholds import duration

TEMPLATE: Final = Path(__file__).parent / "alerts.yaml.jinja"


def text(scale: float = 1.0, **changes: object) -> str:
    """The content of alerts.yaml. Tests pass other numbers, and a `scale` that multiplies all durations."""
    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701 - YAML, of our own numbers
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "span": lambda seconds: duration(seconds * scale),
        "seconds": lambda seconds: f"{seconds * scale:g}",
        "time": duration,
    }
    numbers = {name.lower(): value for name, value in vars(thresholds).items() if name.isupper()}
    numbers |= {name.lower(): value for name, value in changes.items()}
    numbers["settings"] = thresholds.SETTINGS.model_dump()
    return environment.from_string(TEMPLATE.read_text()).render(numbers)
