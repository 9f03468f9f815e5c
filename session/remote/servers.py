"""The servers that the user has logged in to: their addresses and tokens, in a file that only its owner can read."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.configs.paths import SERVER_VARIABLE, private_folder, replace_file, settings_home

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class SavedServer:
    """A server by its name, its address without a path, and the user's token."""

    name: str
    url: str
    token: str

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        return urlsplit(self.url).hostname in LOOPBACK


def server_url(text: str, *, insecure: bool) -> str:
    """Return the address of a server without its path. Raises UsageError for one that would show the token."""
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise UsageError(f"{text[:200]!r} is not the address of a server", "the form is https://HOST")
    if parts.username or parts.password or parts.query:
        raise UsageError("the address contains a token or a password", "give the address alone; the token is asked for")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not insecure:
        raise UsageError(
            f"{parts.hostname} would be used without encryption", "use https://, or --insecure in a trusted network"
        )
    return f"{parts.scheme}://{parts.netloc}"


def servers_file() -> Path:
    """Return the file of the servers."""
    return settings_home() / "servers.json"


def saved_servers() -> Mapping[str, SavedServer]:
    """Return the servers by name. Raises ConfigurationError."""
    path = servers_file()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {name: SavedServer(name, str(one["url"]), str(one["token"])) for name, one in values.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}", "fix or remove it, and log in again") from error


def save_server(server: SavedServer) -> Path:
    """Save a server, which replaces one of the same name. Return the file. Raises ConfigurationError."""
    return _write({**saved_servers(), server.name: server})


def remove_server(name: str) -> None:
    """Remove a server. Raises UsageError if there is none of this name."""
    servers = dict(saved_servers())
    if servers.pop(name, None) is None:
        raise _unknown(name)
    _write(servers)


def chosen_server() -> SavedServer | None:
    """Return the server that --server or the environment names; None if commands use this machine.

    Raises UsageError if the user has not logged in to it.
    """
    name = os.environ.get(SERVER_VARIABLE, "")
    if not name:
        return None
    server = saved_servers().get(name)
    if server is None:
        raise _unknown(name)
    return server


def _unknown(name: str) -> UsageError:
    known = ", ".join(saved_servers()) or "none"
    return UsageError(f"no server is called {name[:100]!r}", f"known: {known}; `ml-intern login URL` adds one")


def _write(servers: Mapping[str, SavedServer]) -> Path:
    path = servers_file()
    values = {
        name: {key: value for key, value in asdict(one).items() if key != "name"} for name, one in servers.items()
    }
    try:
        if not path.parent.is_dir():
            private_folder(path.parent)
        replace_file(path, json.dumps(values, indent=2) + "\n")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}", "check its folder") from error
    return path
