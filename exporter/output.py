"""What commands print: results on standard output, complaints on standard error.

Imports the standard library only: the health check uses it, and must stay small.

Rule: a result that cannot be written is an error; a complaint that cannot be written is not.
"""

import contextlib
import sys
from typing import Final


class OutputError(Exception):
    """Standard output cannot be written; the message is one line, empty when the reader has left."""


class _Output:
    """Standard output, written at once. Raises `OutputError`."""

    def write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise OutputError from None
        except OSError as error:
            reason = error.strerror or "it is closed"
            raise OutputError(f"cannot write to standard output: {reason}") from None


OUTPUT: Final = _Output()


def complain(text: str) -> None:
    with contextlib.suppress(OSError):  # the exit code still reports it
        sys.stderr.write(f"{text}\n" if text else "")
