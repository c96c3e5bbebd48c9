"""Makes alerts.yaml of its template and the thresholds. Must not know what the rules say.

A rule file that is read at night is best written as one; what is computed here are its numbers.
"""

from pathlib import Path
from typing import Final

import jinja2

from grafana import thresholds
from grafana.thresholds import duration

TEMPLATE: Final = Path(__file__).parent / "alerts.yaml.jinja"


def text(scale: float = 1.0, **changes: float) -> str:
    """What alerts.yaml holds; for tests with other numbers, and with all times multiplied by `scale`."""
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
        "percent": lambda share: f"{share * 100:g}%",
    }
    numbers = {name.lower(): value for name, value in vars(thresholds).items() if name.isupper()}
    numbers |= {name.lower(): value for name, value in changes.items()}
    return environment.from_string(TEMPLATE.read_text()).render(numbers)
