"""Plain mode: whether a session shows lines instead of a screen. It is known before the first frame."""

import json
import os
from pathlib import Path

from ml_intern.commands.options import Options
from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.user_files import user_settings_file
from ml_intern.terminal.lines.choose import needs_lines

SETTING = "terminal.plain"
VARIABLE = f"ML_INTERN_{SETTING.upper().replace('.', '_')}"


def shows_lines(options: Options) -> bool:
    """Return whether the terminal cannot move its cursor, or the user's settings ask for plain mode.

    The settings are read here without their checks, which follow when the session opens.
    """
    return needs_lines(os.environ) or _is_set(options)


def _is_set(options: Options) -> bool:
    assigned = [value for key, _, value in (text.partition("=") for text in options.set_) if key.strip() == SETTING]
    if assigned:
        return _truth(assigned[-1])
    given = _in_file(Path(options.config).expanduser()) if options.config else None
    if given is not None:
        return given
    if variable := os.environ.get(VARIABLE):
        return _truth(variable)
    try:
        file = user_settings_file()
    except ConfigurationError:  # reported when the session opens
        return False
    return bool(file and _in_file(file))


def _truth(text: str) -> bool:
    return text.strip().lower() == "true"


def _in_file(path: Path) -> bool | None:
    """Return the setting of a file; None if it does not have it."""
    section, key = SETTING.split(".")
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))[section][key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found is True
