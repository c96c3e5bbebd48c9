"""What the commands that copy a state tell."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from exporter.errors import DamagedError, RefusedError, StateError
from exporter.logs import time_text
from exporter.output import OUTPUT, complain
from exporter.storage.codec import AccountRow


def copied(copying: Coroutine[Any, Any, list[AccountRow]]) -> bool:
    """Copy a state, and tell what was copied or why not; returns whether it was."""
    try:
        accounts = asyncio.run(copying)
    except DamagedError as error:
        complain(f"the state is damaged: {error}")
    except (RefusedError, StateError) as error:
        complain(str(error))
    else:
        for each in accounts:
            saved = time_text(each.saved_at)
            OUTPUT.write(f"account {each.name}: {each.operations.rows} operations, last poll at {saved}\n")
        return True
    return False
