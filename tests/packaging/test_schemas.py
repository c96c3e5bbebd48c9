"""Files that other programs read, validated against the schemas of these programs.

The schemas are part of check-jsonschema: that of the Compose specification, and those of SchemaStore for the
files of GitHub. Both are licensed under Apache-2.0.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.program import ROOT

GITHUB: Final = ROOT / ".github"
FILES: Final = [
    ("compose-spec", ROOT / "compose.yaml"),
    ("dependabot", GITHUB / "dependabot.yml"),
    *(("github-workflows", file) for file in sorted((GITHUB / "workflows").iterdir())),
    *(("github-issue-forms", file) for file in sorted((GITHUB / "ISSUE_TEMPLATE").iterdir())),
]


def validated(schema: str, file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("schema", "file"), FILES, ids=lambda value: value.name if isinstance(value, Path) else ""
)
def test_file_is_valid(schema: str, file: Path) -> None:
    """The file has the structure that its reader documents."""
    done = validated(schema, file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_misspelt_key_is_found(tmp_path: Path) -> None:
    """The schema of Compose rejects a key that it does not know."""
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((ROOT / "compose.yaml").read_text().replace("read_only: true", "readonly: true", 1))
    assert "'readonly' was unexpected" in validated("compose-spec", wrong).stdout
