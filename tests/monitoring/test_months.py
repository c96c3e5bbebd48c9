"""The first days of a simulated month; `make alert-tables` judges twelve whole ones."""

from pathlib import Path

import pytest

from tests.support.verdicts import judged


@pytest.mark.long
@pytest.mark.needs("promtool")
def test_incidents_are_paged_and_ordinary_mail_is_not(tmp_path: Path) -> None:
    """Within ten days of six kinds of account, the incidents are paged and nothing else fires."""
    for each in judged([1], tmp_path, days=10):
        assert not each.false, each.kind.name
        assert None not in each.delays.values(), each.kind.name
