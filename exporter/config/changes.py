"""Which settings differ between two loads. Returns names only: a value may be a secret."""

from exporter.config.settings import SETTINGS, Settings


def changed_settings(running: Settings, written: Settings) -> list[str]:
    """Paths such as `poll.interval`, and `accounts.NAME` for an account that is new, gone or different."""
    paths = [each.path for each in SETTINGS if _value(running, each.path) != _value(written, each.path)]
    before, after = ({each.name: each for each in settings.accounts} for settings in (running, written))
    names = sorted(before.keys() | after.keys())
    return paths + [f"accounts.{name}" for name in names if before.get(name) != after.get(name)]


def _value(settings: Settings, path: str) -> object:
    value: object = settings
    for name in path.split("."):
        value = getattr(value, name)
    return value
