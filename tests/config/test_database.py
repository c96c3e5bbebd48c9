"""`state.url`: what it may say, and that it never shows its password."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.database import Database, parse_database, read_password
from exporter.config.loading import load
from exporter.config.problems import SettingsError
from exporter.config.settings import Settings
from exporter.config.shard import Shard
from exporter.errors import CredentialError
from tests.support.program import environment

URL = "postgresql://exporter@db.example/state"
SECRET = "pa55/w0rd@:?#"
WRITTEN = "pa55%2Fw0rd%40%3A%3F%23"


def loaded(**flags: str) -> Settings:
    given: dict[str, object] = {f"state.{name}": value for name, value in flags.items()}
    return load(given, {}, accounts_required=False)


def line(**flags: str) -> str:
    """The only problem."""
    with pytest.raises(SettingsError) as caught:
        loaded(**flags)
    (text,) = str(caught.value).split("\n")
    return text


@pytest.mark.parametrize(
    ("url", "hosts", "more"),
    [
        (URL, [("db.example", 5432)], {}),
        ("postgres://exporter@h:6543/state", [("h", 6543)], {}),
        ("postgresql://exporter@[2001:db8::1]:1/state", [("2001:db8::1", 1)], {}),
        ("postgresql://exporter@a,b:2,[::1]/state", [("a", 5432), ("b", 2), ("::1", 5432)], {}),
        ("postgresql://exporter@/state?host=/run/pg", [("/run/pg", 5432)], {}),
        ("postgresql://exporter@%2Frun%2Fpg/state", [("/run/pg", 5432)], {}),
        ("postgresql://a%40b@h/d%20e", [("h", 5432)], {"name": "d e", "user": "a@b"}),
        (f"{URL}?sslmode=verify-full", [("db.example", 5432)], {"sslmode": "verify-full"}),
        (f"{URL}?schema=mine", [("db.example", 5432)], {"schema": "mine"}),
    ],
)
def test_parts_of_a_url(url: str, hosts: list[tuple[str, int]], more: dict[str, str]) -> None:
    """Each is decoded; a port may be left out."""
    expected: dict[str, Any] = {"hosts": tuple(hosts), "name": "state", "user": "exporter", **more}
    assert loaded(url=url).database == Database(**expected)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://u@h/d", "is not the URL of a database"),
        ("postgresql://h/d", "is not the URL of a database"),
        ("postgresql://u@h", "is not the URL of a database"),
        ("postgresql://u@h/", "is not the URL of a database"),
        ("postgresql://u@h/d#f", "is not the URL of a database"),
        ("postgresql://u@/d", "names no host"),
        ("postgresql://u@h:0/d", "names no host"),
        ("postgresql://u@h:65536/d", "names no host"),
        ("postgresql://u@h,/d", "names no host"),
        (f"{URL}?sslmode=yes", "has an unknown sslmode; write one of disable, prefer, require"),
        (f"{URL}?options=-csearch_path", "has an unknown parameter; the known ones are sslmode"),
        (f"{URL}?schema=A-b", "has an invalid schema"),
        (f"{URL}?schema={'x' * 25}", "has an invalid schema"),
        (f"{URL}?sslrootcert=/nowhere", "does not exist"),
        (f"{URL}?sslkey=/nowhere", "does not exist"),
        ("postgresql://u:$(PASSWORD)@h/d", "contains a placeholder"),
    ],
)
def test_wrong_url_is_told_with_what_to_write(url: str, problem: str) -> None:
    """On one line."""
    text = line(url=url)
    assert text.startswith("state.url: --state.url=")
    assert problem in text


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{WRITTEN}@h/d?sslmode=no",
        f"postgresql://u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}",
        f"postgres://{SECRET}@h",
        f"postgresql:u:{SECRET}",
        f"postgresql://u@h/d?password={SECRET}",
    ],
)
def test_no_problem_shows_a_password(url: str) -> None:
    """Wherever somebody has put it."""
    text = line(url=url)
    assert SECRET not in text
    assert WRITTEN not in text
    assert "w0rd" not in text


def test_text_of_a_database_shows_where_it_is_and_no_password() -> None:
    """It is in the log and in errors."""
    made = parse_database(f"postgresql://u:{WRITTEN}@h,[::1]:2/d")
    assert made.password is not None
    assert made.password.get_secret_value() == SECRET
    assert str(made) == "postgresql://h:5432,[::1]:2/d (schema twilio_exporter)"
    assert "w0rd" not in repr(made)
    assert "w0rd" not in repr(loaded(url=f"postgresql://u:{WRITTEN}@h/d"))


def test_state_is_in_one_place() -> None:
    """A file and a database contradict each other."""
    assert "conflicts with state.path; keep one of the two" in line(url=URL, path="/state")


def test_password_is_given_once(tmp_path: Path) -> None:
    """In the URL or in a file."""
    file = tmp_path / "password"
    file.write_text("x")
    text = line(url=f"postgresql://u:{WRITTEN}@h/d", password_file=str(file))
    assert "conflicts with the password in state.url; keep one of the two" in text
    assert text.startswith("state.password_file: ")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1))
def test_file_holds_any_password(password: str) -> None:
    """Spaces and all; only the line break at the end is not part of it."""
    file = Path("password")
    try:
        for end in ("", "\n", "\r\n"):
            file.write_bytes((password + end).encode())
            assert read_password(parse_database(URL), file) == password
    finally:
        file.unlink()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff" + SECRET.encode(), "is not a text file"),
    ],
)
def test_unusable_password_file_is_told(content: bytes | None, problem: str) -> None:
    """At the start and later, without its content."""
    file = Path("password")
    if content is not None:
        file.write_bytes(content)
    text = line(url=URL, password_file=str(file))
    with pytest.raises(CredentialError) as caught:
        read_password(parse_database(URL), file)
    for each in (text, str(caught.value)):
        assert problem in each
        assert SECRET not in each


def test_without_a_password_there_is_none() -> None:
    """The server may ask for none, or for a certificate."""
    assert read_password(parse_database(URL), None) == ""
    assert read_password(parse_database(f"postgresql://u:{WRITTEN}@h/d"), None) == SECRET


def test_each_shard_has_a_schema_of_its_own() -> None:
    """Its accounts are others, and so is who is active."""
    settings = load({"state.url": URL, "shard": "2/3"}, {}, accounts_required=False)
    assert settings.database == replace(parse_database(URL), schema="twilio_exporter_shard_2")
    assert parse_database(URL).of_shard(Shard(0, 2)).schema == "twilio_exporter_shard_0"


WITHOUT_DRIVER = """
import sys
sys.modules["asyncpg"] = None
from exporter.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--version"], 0, ""),
        (["run", f"--state.url={URL}"], 2, "pip install 'twilio-email-exporter[postgresql]'"),
    ],
)
def test_driver_is_needed_with_a_url_only(arguments: list[str], code: int, told: str) -> None:
    """The plain install has none; it is told what to install."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DRIVER, *arguments],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert told in done.stderr
