"""Check that the lock files can be installed by every pip that a supported Python bundles.

pip before 23.3 ignores a pin without extras when a package asks for the same distribution with an extra:
for `coverage[toml]` it picked the newest coverage, and hash checking then failed. So a lock file must name
extras, and each old pip must resolve each file. Nothing is installed: pip only resolves (`--dry-run`).
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
LOCK_FILES: Final = ("requirements.lock", "requirements-dev.lock", "requirements-sbom.lock")

BUNDLED_PIPS: Final = {(3, 11): ("23.0.1", "23.2.1"), (3, 12): ("23.2.1",)}
"""Old pips that installations of a Python bundle; later Pythons bundle newer ones.

Debian 12 has Python 3.11 with pip 23.0.1; Python 3.11.7 and 3.12.1 bundle pip 23.2.1.
"""

PIP: Final = ("--disable-pip-version-check", "--quiet")


def pips(folder: Path) -> Iterator[Path]:
    """Folders to import each pip from: the bundled ones and the newest."""
    for number, requirement in enumerate(
        (*(f"pip=={version}" for version in BUNDLED_PIPS.get(sys.version_info[:2], ())), "pip")
    ):
        target = folder / str(number)
        install = [sys.executable, "-m", "pip", *PIP, "install", f"--target={target}", requirement]
        subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
        yield target


def failures(pip: Path) -> list[str]:
    """What this pip says of the lock files it cannot resolve."""
    (version,) = (name.name.removesuffix(".dist-info") for name in pip.glob("pip-*.dist-info"))
    failed = []
    for lock in LOCK_FILES:
        result = subprocess.run(
            [
                *(sys.executable, "-m", "pip", *PIP, "install", "--dry-run", "--ignore-installed"),
                *("--require-hashes", "--requirement", str(ROOT / lock)),
            ],
            env={**os.environ, "PYTHONPATH": str(pip)},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            _, _, errors = result.stderr.partition("ERROR: ")  # warnings about the machine's pip come before
            failed.append(f"{version} cannot install {lock}:\n{errors or result.stderr}")
        else:
            print(f"{version} can install {lock}", flush=True)
    return failed


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as threads:
        failed = [failure for each in threads.map(failures, list(pips(Path(folder)))) for failure in each]
    print("\n".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
