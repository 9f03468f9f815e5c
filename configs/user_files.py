"""The files in the user's settings folder: the settings file, saved API keys, and questions that were already asked."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_intern.configs.env import parse_env_file
from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.paths import private_folder, replace_file, settings_home

FILE_NAMES = ("cli_agent_config.json", "main_agent_config.json")
"""Names of a settings file; the second is the older one."""
CONFIG_VARIABLE = "ML_INTERN_CLI_CONFIG"
_PRIVATE = 0o600


def user_settings_file() -> Path | None:
    """Return the user's settings file if there is one. ML_INTERN_CLI_CONFIG may name it.

    Raises:
        ConfigurationError: the variable names a file that does not exist.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigurationError(f"{CONFIG_VARIABLE}: no such file: {path}", "fix or unset the variable")
        return path
    return next((path for name in FILE_NAMES if (path := settings_home() / name).is_file()), None)


def settings_path() -> Path:
    """Return the user's settings file, or where it is created."""
    return user_settings_file() or settings_home() / FILE_NAMES[0]


def change_user_settings(change: Callable[[dict[str, Any]], None]) -> Path:
    """Apply `change` to the values of the settings file, in which ${NAME} is not expanded. Return its path.

    Raises:
        ConfigurationError: the file is not a JSON object, or cannot be read or written.
    """
    path = settings_path()
    values = _read_settings(path)
    change(values)
    return _write(path, json.dumps(values, ensure_ascii=False, indent=2) + "\n", keep_mode=True)


def keys_file() -> Path:
    """Return the file of saved API keys. Only its owner can read it."""
    return settings_home() / "keys.env"


def saved_keys() -> dict[str, str]:
    """Return the saved API keys by variable. Raises ConfigurationError when the file cannot be read."""
    try:
        return parse_env_file(keys_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {keys_file()}: {error}", "fix or remove it") from error


def save_key(name: str, value: str) -> Path:
    """Save an API key and return its file. Raises ConfigurationError when it cannot be written."""
    keys = {**saved_keys(), name: value}
    lines = [f"{known}={json.dumps(text) if chr(39) in text else repr(text)}" for known, text in keys.items()]
    header = "# API keys saved by ml-intern. Variables set in the environment take precedence.\n"
    return _write(keys_file(), header + "\n".join(lines) + "\n")


def was_asked(question: str) -> bool:
    """Return whether a question that is asked only once was asked."""
    return _asked_file(question).exists()


def mark_asked(question: str) -> None:
    """Record that a question was asked, so that it is not asked again."""
    _write(_asked_file(question), "")


def _asked_file(question: str) -> Path:
    return settings_home() / f".asked-{question}"


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"cannot read the settings file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"the settings file {path} is not valid JSON: {error}", "fix it first") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"the settings file {path} does not contain a JSON object", "fix it first")
    return values


def _write(path: Path, text: str, *, keep_mode: bool = False) -> Path:
    """Replace a file as a whole. It is private (0600) unless it exists and keeps its mode."""
    target = path.resolve()
    try:
        if not target.parent.is_dir():
            private_folder(target.parent)
        mode = target.stat().st_mode & 0o777 if keep_mode and target.exists() else _PRIVATE
        replace_file(target, text, mode)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}", "check its folder") from error
    return path
