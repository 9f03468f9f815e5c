"""Seal users' keys before they are stored, with a secret that is not in the database, and open them for a session.

The secret is ML_INTERN_SECRET_KEY, or the content of the file `secret.key` in ML_INTERN_HOME. It may be several, one
after the other with commas between them: the first one seals, all of them open.
"""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ml_intern.configs.env import CREDENTIALS
from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.configs.paths import data_home, private_folder, replace_file
from ml_intern.text.formatting import listed

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

VARIABLE: Final = "ML_INTERN_SECRET_KEY"
MIN_LENGTH: Final = 32
MAX_KEY: Final = 8_192
_REMEDY: Final = f"set {VARIABLE} to the output of `openssl rand -hex 32`, the same on all machines"


def seal(user_id: str, name: str, value: str) -> str:
    """Return a key of a user so that only `unseal` reads it. Without a secret, one is made in a file.

    Raises UsageError for a key that is not one, and ConfigurationError.
    """
    if name not in CREDENTIALS:
        raise UsageError(f"{name[:60]!r} is not the name of a key", f"such as {listed(sorted(CREDENTIALS), 4)}")
    if not value or len(value) > MAX_KEY or not value.isprintable():
        raise UsageError("the key is empty, too long or has control characters", "copy it again")
    if not _secret():
        _make_secret()
    body = json.dumps({"user": user_id, "name": name, "value": value})
    return _box().encrypt(body.encode()).decode()


def unseal(user_id: str, sealed: Mapping[str, str]) -> dict[str, str]:
    """Return the keys of a user by name. Raises ConfigurationError if they were sealed with another secret."""
    if not sealed:
        return {}
    from cryptography.fernet import InvalidToken

    box, opened = _box(), dict[str, str]()
    for name, text in sealed.items():
        try:
            body = json.loads(box.decrypt(text.encode()))
        except InvalidToken as error:
            raise ConfigurationError(f"the key {name} was sealed with another {VARIABLE}", "set it again") from error
        if (body["user"], body["name"]) != (user_id, name):
            raise ConfigurationError(f"the key {name} belongs to somebody else", "set it again")
        opened[name] = str(body["value"])
    return opened


def _box() -> "MultiFernet":
    try:
        from cryptography.fernet import Fernet, MultiFernet
    except ImportError as error:
        raise ConfigurationError(
            "keys of users need the extra [team]", "pip install 'ml-intern-graph[team]'"
        ) from error
    parts = [part.strip() for part in _secret().split(",") if part.strip()]
    if not parts:
        raise ConfigurationError("there is no secret to open the keys of users with", _REMEDY)
    if any(len(part) < MIN_LENGTH for part in parts):
        raise ConfigurationError(f"{VARIABLE} is shorter than {MIN_LENGTH} characters", _REMEDY)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(hashlib.sha256(part.encode()).digest())) for part in parts])


def _secret() -> str:
    if given := os.environ.get(VARIABLE, ""):
        return given
    try:
        return _file().read_text("utf-8")
    except FileNotFoundError:
        return ""


def _make_secret() -> None:
    private_folder(data_home())
    replace_file(_file(), secrets.token_hex(MIN_LENGTH))


def _file() -> Path:
    return data_home() / "secret.key"
