"""The exit codes of every command."""

from typing import Final

SUCCESS: Final = 0
FAILED: Final = 1
"""A runtime failure."""
INVALID_CONFIGURATION: Final = 2
