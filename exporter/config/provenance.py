"""Flags, environment, file and defaults as pydantic-settings sources that keep where each value was written.

pydantic-settings merges them by precedence; `where` returns the place of a value of the result.
https://docs.pydantic.dev/latest/concepts/pydantic_settings/#customise-settings-sources

Must not know what a setting means, nor read a file or the process environment.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo  # noqa: TID251 - home of pydantic
from pydantic_settings import PydanticBaseSettingsSource  # noqa: TID251 - home of pydantic_settings

from exporter.config import sources as written
from exporter.config.problems import Problem
from exporter.config.settings import SETTINGS, Settings
from exporter.config.sources import Given, Location
from exporter.config.yaml_file import given_by_file, section_problems


class WrittenSource(PydanticBaseSettingsSource):
    """Values by location, each with the place where it was written, and problems of unknown names."""

    def __init__(self, given: Mapping[Location, Given], problems: Iterable[Problem] = ()) -> None:
        super().__init__(Settings)
        self.given = given
        self.problems = tuple(problems)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """The values of one section."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for (section, *names), (value, _) in self.given.items():
            if names:
                tree.setdefault(section, {})[names[0]] = value
            else:
                tree[section] = value
        return tree


class FlagSource(WrittenSource):
    """`flags`: by path; other names are ignored. `unrecognized`: the rest that argparse returned."""

    def __init__(self, flags: Mapping[str, object], unrecognized: Sequence[str]) -> None:
        super().__init__(
            written.given_by_flags(SETTINGS, flags), written.unknown_flags(SETTINGS, unrecognized)
        )


class EnvironmentSource(WrittenSource):
    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(
            written.given_by_environment(SETTINGS, environ), written.unknown_variables(SETTINGS, environ)
        )


class FileSource(WrittenSource):
    """`document`: the content of the file; empty when it could not be read."""

    def __init__(self, file: Path, document: Mapping[str, Any], problems: Iterable[Problem] = ()) -> None:
        super().__init__(
            given_by_file(SETTINGS, file, document), [*problems, *section_problems(SETTINGS, file, document)]
        )
        self.file = file
        self.document = document


class DefaultSource(WrittenSource):
    """Defaults of a command, by path."""

    def __init__(self, defaults: Mapping[str, object]) -> None:
        super().__init__(
            {tuple(path.split(".")): Given(str(value), "default:") for path, value in defaults.items()}
        )


def where(sources: Iterable[WrittenSource], location: Location) -> str:
    """The flag, variable or file of the effective value. `sources`: the strongest first."""
    return next(source.given[location].source for source in sources if location in source.given)
