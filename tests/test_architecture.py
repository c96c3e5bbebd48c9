"""Who may import whom: `ls exporter` is the architecture, and this holds it.

The tables below stand in docs/architecture.md, too, for people; a test holds the two together.
"""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = ROOT / "exporter"

RANKS: Final = {
    "words": ("clock", "errors", "operation", "report"),
    "pure": (
        "window",
        "wire",
        "pace",
        "shard",
        "counting",
        "state",
        "packing",
        "sums",
        "ranking",
        "ledger",
        "snapshot",
        "families",
        "status",
        "forecast",
        "vigil",
        "negotiation",
    ),
    "conductor": ("credential", "poller", "loop", "check"),
    "writing": ("flags", "document", "section", "web_config"),
    "edges": (
        *("lookup", "transport", "client", "storage", "metrics", "text_format", "exposition", "page", "logs"),
        *("passwords", "tls", "access", "listener", "web"),
    ),
    "settings": ("values", "accounts", "settings", "loading"),
    "meeting point": ("revival", "tasks", "watchers", "polling", "door", "app"),
    "commands": ("healthcheck", "commands", "__main__"),
}
"""Lowest first. A module imports from lower ranks only; on stairs also what stands before it.

Settings stand above the edges, so that no edge learns what is configured how."""

STAIRS: Final = {"words", "pure", "writing", "settings", "meeting point", "commands"}

EDGE_PAIRS: Final = {
    ("transport", "lookup"): "names are looked up beside the loop's own threads",
    ("exposition", "text_format"): "when a page is written, and how",
    ("access", "tls"): "the context in force",
    ("access", "passwords"): "the users in force",
    ("web", "exposition"): "a scrape's headers choose the format",
    ("web", "access"): "the guard before every path",
    ("web", "listener"): "who has spoken is not cut off",
}
"""The edges that know another edge, and why. No edge knows the poller."""

STRANGERS: Final = {
    "tasks": {"accounts", "settings", "client", "transport", "web", "listener"},
    "watchers": {"poller", "loop", "client", "storage", "polling", "exposition", "web", "door"},
    "polling": {"metrics", "exposition", "page", "access", "listener", "web", "door"},
    "door": {"credential", "poller", "loop", "client", "transport", "storage", "revival", "polling"},
}
"""What the stairs of the meeting point would allow: who asks Twilio and who is asked meet in `app` only."""

SIMULATOR_SEES: Final = {"__version__", "clock", "operation"}

LIBRARIES: Final = {
    "aiohttp": {"transport"},
    "aiohttp.web": {"listener", "web", "simulator"},
    "bcrypt": {"passwords"},
    "jinja2": {"page"},
    "msgspec": {"wire"},
    "prometheus_client": {"metrics", "text_format", "exposition"},
    "pydantic": {"accounts", "settings", "loading"},
    "sqlite3": {"storage"},
    "tenacity": {"client"},
    "time": {"clock"},
    "yaml": {"document"},
}
"""Where each library may be imported. Of a longer name, the longest that is here decides."""

ALIASES: Final = {
    "aiohttp.hdrs": "aiohttp.web",
    "aiohttp.typedefs": "aiohttp.web",
    "aiohttp.http_exceptions": "aiohttp.web",
    "aiohttp.log": "aiohttp.web",
    "pydantic_core": "pydantic",
    "pydantic_settings": "pydantic",
}

REAL_TIME: Final = {
    "asyncio.sleep",
    "asyncio.timeout",
    "asyncio.timeout_at",
    "asyncio.wait_for",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "date.today",
}
"""Calls that read a clock or wait for one, as they are written."""

MODULES: Final = {path.stem: path for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
SIMULATOR: Final = sorted((PACKAGE / "simulator").rglob("*.py"))


class Site(NamedTuple):
    """Where a name stands in a file, for the message of a failure."""

    file: Path
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.name}"


def imports(file: Path) -> Iterator[Site]:
    """Every imported name with its dots: `from aiohttp import web` is `aiohttp.web`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Site(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from (Site(file, node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def ours(file: Path) -> Iterator[tuple[Site, str]]:
    """The imports of the package, each with what stands behind `exporter.`: a module, or `__version__`."""
    for site in imports(file):
        package, _, rest = site.name.partition(".")
        if package == "exporter":
            yield site, rest.partition(".")[0]


def rank_of(module: str) -> str:
    return next((rank for rank, modules in RANKS.items() if module in modules), "")


def may_import(module: str, imported: str) -> bool:
    """By the table alone; the simulator and the version are others' affair."""
    here, there = rank_of(module), rank_of(imported)
    if here == there:
        modules = RANKS[here]
        before = here in STAIRS and modules.index(imported) < modules.index(module)
        return before or (module, imported) in EDGE_PAIRS
    if (here, there) == ("edges", "conductor"):
        return False
    order = list(RANKS)
    return order.index(there) < order.index(here)


def library(name: str) -> str | None:
    """The row of `LIBRARIES` that an imported name falls to."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        prefix = ALIASES.get(prefix, prefix)
        if prefix in LIBRARIES:
            return prefix
    return None


def reads_real_time(call: ast.Call) -> bool:
    """A bare turn of the event loop, `asyncio.sleep(0)`, waits for nothing."""
    name = ".".join(ast.unparse(call.func).split(".")[-2:])
    return name in REAL_TIME and not (name == "asyncio.sleep" and [*map(ast.unparse, call.args)] == ["0"])


def cells(section: str) -> Sequence[Sequence[str]]:
    """The rows of the table under a heading of docs/architecture.md, without its head."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    body = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in body.splitlines() if line.startswith("|")]
    return rows[2:]


def code_words(text: str) -> tuple[str, ...]:
    """What stands in backticks."""
    return tuple(text.split("`")[1::2])


def test_every_module_has_a_rank() -> None:
    """A new module is put into the table, and a module that is gone is taken out."""
    assert sorted(MODULES) == sorted(module for modules in RANKS.values() for module in modules)


def test_package_itself_imports_nothing() -> None:
    """To ask for the version loads no other module."""
    assert list(imports(PACKAGE / "__init__.py")) == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_imports_from_below_only(module: str) -> None:
    """What knows less never learns of what knows more."""
    wrong = [
        str(site)
        for site, imported in ours(MODULES[module])
        if imported not in {"__version__", "simulator"} and not may_import(module, imported)
    ]
    assert wrong == []


def test_edge_pairs_are_in_use() -> None:
    """An exception that nobody needs any more leaves the table."""
    in_use = {(module, imported) for module in RANKS["edges"] for _, imported in ours(MODULES[module])}
    assert EDGE_PAIRS.keys() <= in_use


@pytest.mark.parametrize("module", sorted(STRANGERS))
def test_strangers_stay_strangers(module: str) -> None:
    """Each meeting has one subject."""
    assert not {imported for _, imported in ours(MODULES[module])} & STRANGERS[module]


def test_only_the_command_line_knows_the_simulator() -> None:
    """The product works without it."""
    assert {m for m in MODULES for _, imported in ours(MODULES[m]) if imported == "simulator"} == {"commands"}


def test_simulator_knows_next_to_nothing_of_the_product() -> None:
    """A second opinion that read the client's code would be the first one again."""
    wrong = [
        str(site)
        for file in SIMULATOR
        for site, imported in ours(file)
        if imported not in {*SIMULATOR_SEES, "simulator"}
    ]
    assert wrong == []


@pytest.mark.parametrize("file", [*MODULES.values(), *SIMULATOR], ids=lambda f: str(f.relative_to(PACKAGE)))
def test_libraries_stay_at_home(file: Path) -> None:
    """What is imported in one place can be replaced in one place."""
    home = file.relative_to(PACKAGE).with_suffix("").parts[0]
    wrong = [
        str(site)
        for site in imports(file)
        if (row := library(site.name)) is not None and home not in LIBRARIES[row]
    ]
    assert wrong == []


@pytest.mark.parametrize("file", [*MODULES.values(), *SIMULATOR], ids=lambda f: str(f.relative_to(PACKAGE)))
def test_time_comes_from_the_clock(file: Path) -> None:
    """Whoever reads a clock or sleeps without being handed one cannot be tested in a moment."""
    calls = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and reads_real_time(node)
    ]
    wrong = [str(Site(file, call.lineno, ast.unparse(call))) for call in calls]
    assert wrong == [] or file == MODULES["clock"]


def test_documented_ranks_are_those_held_here() -> None:
    """docs/architecture.md shows the same modules in the same ranks and order."""
    documented = {row[0]: code_words(row[1]) for row in cells("Modules")}
    assert documented == {**RANKS, "aside": ("simulator",)}


def test_documented_pairs_and_homes_are_those_held_here() -> None:
    """docs/architecture.md names each exception and each library's home; a home yet to be built is none."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert all(f"`{module}` imports `{imported}`" in page for module, imported in EDGE_PAIRS)
    documented = {row[0].strip("`"): set(code_words(row[1])) for row in cells("Homes of libraries")}
    built = {*MODULES, "simulator"}
    assert documented == {name: homes for name, homes in LIBRARIES.items() if homes <= built}


@pytest.mark.parametrize(
    ("module", "imported", "allowed"),
    [
        ("report", "errors", True),
        ("errors", "report", False),
        ("snapshot", "ledger", True),
        ("ledger", "snapshot", False),
        ("client", "pace", True),
        ("client", "poller", False),
        ("client", "metrics", False),
        ("settings", "flags", True),
        ("flags", "settings", False),
        ("poller", "client", False),
        ("app", "client", True),
        ("web", "app", False),
        ("commands", "app", True),
        ("commands", "__main__", False),
    ],
)
def test_table_is_read_right(module: str, imported: str, allowed: bool) -> None:
    """The rule itself: lower ranks, the stairs, and the pairs."""
    assert may_import(module, imported) is allowed


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("import aiohttp", "aiohttp"),
        ("from aiohttp import ClientSession", "aiohttp"),
        ("from aiohttp import web", "aiohttp.web"),
        ("from aiohttp.web import Response", "aiohttp.web"),
        ("from pydantic_settings import BaseSettings", "pydantic"),
        ("from prometheus_client.registry import Collector", "prometheus_client"),
        ("import json", None),
    ],
)
def test_library_is_recognised(tmp_path: Path, statement: str, row: str | None) -> None:
    """However it is imported."""
    (tmp_path / "module.py").write_text(statement, encoding="utf-8")
    (site,) = imports(tmp_path / "module.py")
    assert library(site.name) == row


@pytest.mark.parametrize(
    ("statement", "reads"),
    [
        ("asyncio.sleep(0)", False),
        ("asyncio.sleep(1)", True),
        ("self.clock.sleep(1)", False),
        ("datetime.datetime.now(UTC)", True),
        ("clock.now()", False),
    ],
)
def test_real_time_is_recognised(statement: str, reads: bool) -> None:
    """A turn of the event loop and a clock that was handed in are no reading of it."""
    (call,) = (node for node in ast.walk(ast.parse(statement)) if isinstance(node, ast.Call))
    assert reads_real_time(call) is reads
