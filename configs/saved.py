"""What the user let the program keep for later starts: keys by their variables, a model, questions not to repeat."""

import json
import os
from pathlib import Path

from ml_intern.configs.env import parse_env_file
from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.paths import settings_home


def keys_file() -> Path:
    """The file of the kept keys, for its owner alone."""
    return settings_home() / "keys.env"


def kept_keys() -> dict[str, str]:
    """The kept keys by their variables. ConfigurationError when the file cannot be read."""
    try:
        return parse_env_file(keys_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {keys_file()}: {error}", "mend or remove it") from error


def keep_key(name: str, value: str) -> Path:
    """Keep a key (0600) and return its file. Raises ConfigurationError when it cannot be written."""
    held = {**kept_keys(), name: value}
    lines = [f"{known}={json.dumps(text) if chr(39) in text else repr(text)}" for known, text in held.items()]
    text = "# Keys that ml-intern was told to keep; what the environment sets wins.\n"
    return _write(keys_file(), text + "\n".join(lines) + "\n")


def keep_model(file: Path, model: str) -> Path:
    """Make `model` the one of the user's settings file, which keeps everything else. Raises ConfigurationError."""
    try:
        values = json.loads(file.read_text(encoding="utf-8-sig")) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {file}: {error}", "mend it") from error
    return _write(file, json.dumps({**values, "model_name": model}, indent=2, ensure_ascii=False) + "\n")


def was_asked(question: str) -> bool:
    """Whether a question that is asked once was asked."""
    return _asked_file(question).exists()


def note_asked(question: str) -> None:
    """Do not ask this question again."""
    _write(_asked_file(question), "")


def _asked_file(question: str) -> Path:
    return settings_home() / f".asked-{question}"


def _write(path: Path, text: str) -> Path:
    """Replace a file, readable for its owner alone."""
    path = path.resolve()
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}", "check its folder") from error
    return path
