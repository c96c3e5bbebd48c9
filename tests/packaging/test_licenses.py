"""The page of licenses, and which of them the dependencies may have."""

from typing import Final

from tools.licenses import PAGE, licenses, page

PERMISSIVE: Final = {
    "Apache-2.0",
    "Apache 2.0",
    "BSD License",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MIT",
    "PSF-2.0",
}


def test_page_is_up_to_date() -> None:
    """`make docs` writes the page."""
    assert PAGE.read_text() == page()


def test_licenses_are_permissive() -> None:
    """Companies adopt the exporter without a review; another license needs a decision."""
    other = {name: text for name, text in licenses() if not {*text.split(" AND ")} <= PERMISSIVE}
    assert other == {}
