"""Settings sources: what each gives, and where a value was written."""

from pathlib import Path

from exporter.config.provenance import DefaultSource, EnvironmentSource, FileSource, FlagSource, where
from exporter.config.settings import Settings

SOURCES = (
    FlagSource({"poll.interval": "1s", "command": "run"}, ["--nonsense"]),
    EnvironmentSource({"EXPORTER_POLL__INTERVAL": "2s", "EXPORTER_POLL__RECENT": "3s", "HOME": "/"}),
    FileSource(Path("x.yaml"), {"poll": {"recent": "4s", "lookback": "5s"}, "shard": "0/2", "nonsense": "1"}),
    DefaultSource({"poll.lookback": 6, "api.timeout": "7s"}),
)


def test_sources_are_merged_by_precedence() -> None:
    """pydantic-settings takes each setting from the strongest source that has it."""
    settings = Settings.from_sources(SOURCES)
    assert (settings.poll.interval, settings.poll.recent, settings.poll.lookback) == (1, 3, 5)
    assert (settings.api.timeout, str(settings.shard)) == (7, "0/2")


def test_sources_remember_where_a_value_was_written() -> None:
    """A problem names the place of the effective value."""
    assert [where(SOURCES, tuple(path.split("."))) for path in PLACES] == list(PLACES.values())


PLACES = {
    "poll.interval": '--poll.interval="1s"',
    "poll.recent": 'EXPORTER_POLL__RECENT="3s"',
    "poll.lookback": 'x.yaml: "5s"',
    "shard": 'x.yaml: "0/2"',
    "api.timeout": "default:",
}


def test_sources_report_names_that_do_not_exist() -> None:
    """Each source reports its own; other names in the namespace and the environment are ignored."""
    assert [[each.path for each in source.problems] for source in SOURCES] == [
        ["nonsense"],
        [],
        ["nonsense"],
        [],
    ]


def test_sources_last_for_one_instance() -> None:
    """Settings built in code afterwards have no source but their arguments."""
    Settings.from_sources(SOURCES)
    assert Settings().poll.interval == 60


def test_value_of_one_field() -> None:
    """The value of a section, as pydantic-settings requests it."""
    assert SOURCES[0].get_field_value(Settings.model_fields["poll"], "poll") == (
        {"interval": "1s"},
        "poll",
        False,
    )
