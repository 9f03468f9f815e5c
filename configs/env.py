"""`.env` files and the environment: credentials by known names, and the values for ${NAME} in settings."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.providers import credential_names, endpoint_names, model_key_names

CREDENTIALS = credential_names()
"""Variables a .env file may set. Endpoints are not among them: a folder must not redirect a key."""

ENDPOINTS = endpoint_names()
"""Variables that only the .env file of a trusted folder may set."""

OWN_KEYS = "ML_INTERN_OWN_KEYS"
"""The variable that is set in the process of a user's thread on a team's server: the names of the user's own keys.

Tools get no other secrets there, and a stored login to the Hub is not the user's.
"""
_MAX_CHARACTERS = 1_000_000
MODEL_KEYS = model_key_names()
_ENDPOINT_WORDS = ("URL", "URI", "ENDPOINT", "HOST", "BASE", "PROXY", "SERVER")
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_REFERENCE = re.compile(r"\$\{([^}:]+)(?::-([^}]*))?\}")
_ESCAPES = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\\\": "\\"}


def is_users_thread() -> bool:
    """Return whether this process runs a thread of a user of a team's server, who sees nothing of other threads."""
    return OWN_KEYS in os.environ


def operators(values: Mapping[str, str]) -> Mapping[str, str]:
    """Return the operator's values that this process may have: for a user's thread, keys for models only."""
    if not is_users_thread():
        return values
    return {name: value for name, value in values.items() if name in MODEL_KEYS}


def parse_env_file(text: str) -> dict[str, str]:
    """Parse a .env file with comments, `export` and quotes. Other lines are ignored."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match:
            found[match[1]] = _value(match[2])
    return found


def _value(raw: str) -> str:
    quoted = re.match(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"", raw)
    if not quoted:
        return re.split(r"(?:^|\s)#", raw, maxsplit=1)[0].strip()
    if quoted[1] is not None:
        return quoted[1]
    return re.sub(r"\\.", lambda escape: _ESCAPES.get(escape[0], escape[0]), quoted[2])


def read_env_files(folders: Iterable[Path]) -> dict[str, str]:
    """Read the .env files of the folders, at most one megabyte each. The earlier folder takes precedence.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    values: dict[str, str] = {}
    for folder in folders:
        path = folder / ".env"
        if path.is_file():
            values = {**_read(path), **values}
    return values


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return parse_env_file(file.read(_MAX_CHARACTERS))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", "make it readable or remove it") from error


def is_endpoint(name: str) -> bool:
    """Return whether a variable of this name may change where requests go."""
    return any(word in name.upper() for word in _ENDPOINT_WORDS)


def adopt_credentials(values: Mapping[str, str]) -> list[str]:
    """Set the known credentials among `values` that the environment does not have. Return their names."""
    return _adopt(CREDENTIALS, values)


def adopt_endpoints(values: Mapping[str, str]) -> list[str]:
    """Do the same for known endpoints. Only for values from a trusted folder."""
    return _adopt(ENDPOINTS, values)


def _adopt(names: Iterable[str], values: Mapping[str, str]) -> list[str]:
    adopted = [name for name in names if values.get(name) and not os.environ.get(name)]
    for name in adopted:
        os.environ[name] = values[name]
    return adopted


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace ${NAME} and ${NAME:-default}. Raises KeyError with a name that has neither value nor default."""

    def value(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        found = values.get(name)
        if found is None and default is None:
            raise KeyError(name)
        return found or default or ""

    return _REFERENCE.sub(value, text)
