"""Changes to the user's settings file by this program: read as it is written, changed, written whole."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.layers import FILE_NAMES, user_file
from ml_intern.configs.paths import private_folder, settings_home


def change_user_settings(change: Callable[[dict[str, Any]], None]) -> Path:
    """Let `change` work on the file's values as they are written, ${NAME} and all; the path of the file.

    Raises:
        ConfigurationError: the file is no JSON object, or cannot be read or written.
    """
    path = user_file() or settings_home() / FILE_NAMES[0]
    values = _read(path)
    change(values)
    try:
        if not path.parent.is_dir():
            private_folder(path.parent)
        target = path.resolve()
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(values, file, ensure_ascii=False, indent=2)
            file.write("\n")
        fresh.replace(target)
    except OSError as error:
        raise ConfigurationError(f"cannot write the settings file {path}: {error.strerror}") from error
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"cannot read the settings file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"the settings file {path} is no valid JSON: {error}", "mend it first") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"the settings file {path} holds no JSON object", "mend it first")
    return values
