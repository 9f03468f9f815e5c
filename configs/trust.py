"""Trust in folders that have settings. The user's decision is stored with digests of the settings and the advice."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ml_intern.configs.env import is_endpoint, read_env_files
from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.paths import data_home, private_folder, replace_file

PROJECT_FILE = Path(".ml-intern") / "cli_agent_config.json"
MCP_FILE = Path(".mcp.json")
"""The MCP servers of a folder, in the form that several agents read."""
ADVICE = ("AGENTS.md", ".agents/skills")
"""The files with advice that a trusted folder passes to the model."""
_MAX_BYTES = 1_000_000
_MAX_ADVICE_FILES = 5_000


@dataclass(frozen=True)
class FolderSettings:
    """A description of what trust in a folder enables, and digests of it."""

    things: tuple[str, ...]
    digest: str
    """Digest of the part that could grant permissions."""
    advice: str
    """Digest of AGENTS.md and the files of the skills; "" when there are none."""


def folder_settings(folder: Path) -> FolderSettings:
    """Return what `folder` contains that needs trust."""
    content, servers = _content(folder / PROJECT_FILE), _content(folder / MCP_FILE)
    endpoints = {name: value for name, value in read_env_files([folder]).items() if is_endpoint(name)}
    settings = [f"the settings in {PROJECT_FILE} ({_names(content)})"] if content is not None else []
    mcp = [f"the MCP servers in {MCP_FILE} ({_names(servers, 'mcpServers')})"] if servers is not None else []
    addresses = [f"the addresses in .env ({', '.join(sorted(endpoints))})"] if endpoints else []
    advice = advice_names(folder)
    return FolderSettings(
        (*settings, *mcp, *addresses, *advice), _digest(content, endpoints, servers), _advice_digest(folder)
    )


def is_trusted(folder: Path) -> bool:
    """Return whether the user trusts the settings of this folder in their current state."""
    stored = _stored(folder, folder_settings(folder))
    return stored is not None and stored.get("trusted") is True


def decision(folder: Path) -> bool | None:
    """Return the user's decision about this folder.

    None when there is none, or when its settings, or the advice of a trusted folder, changed since.

    Raises:
        ConfigurationError: the file of decisions is damaged.
    """
    present = folder_settings(folder)
    stored = _stored(folder, present)
    if stored is None:
        return None
    if stored.get("trusted") is not True:
        return False
    return True if stored.get("advice", "") == present.advice else None


def _stored(folder: Path, present: FolderSettings) -> Mapping[str, Any] | None:
    """Return the stored decision if it was made for the present settings."""
    stored = _decisions().get(_folder_name(folder))
    return stored if isinstance(stored, dict) and stored.get("digest") == present.digest else None


def decide(folder: Path, *, trusted: bool) -> None:
    """Store the user's decision about this folder in its current state."""
    present = folder_settings(folder)
    made = {"trusted": trusted, "digest": present.digest, "advice": present.advice}
    _store({**_decisions(), _folder_name(folder): made})


def forget(folder: Path) -> bool:
    """Remove the user's decision about this folder. Return whether there was one."""
    decisions = _decisions()
    if decisions.pop(_folder_name(folder), None) is None:
        return False
    _store(decisions)
    return True


def decided_folders() -> dict[str, bool | None]:
    """Return the decision about each folder that has one. None when its settings changed since."""
    return {name: decision(Path(name)) for name in sorted(_decisions())}


def _store(decisions: Mapping[str, Any]) -> None:
    path = trust_file()
    private_folder(path.parent)
    replace_file(path, json.dumps({"folders": decisions}, indent=2))


def trust_file() -> Path:
    """Return the file of decisions."""
    return data_home() / "trust.json"


def _decisions() -> dict[str, Any]:
    path = trust_file()
    try:
        folders = json.loads(path.read_text(encoding="utf-8"))["folders"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}", "remove it; ml-intern then asks about every folder again"
        ) from error
    return folders if isinstance(folders, dict) else {}


def _folder_name(folder: Path) -> str:
    return os.path.realpath(folder)


def _content(path: Path) -> bytes | None:
    """Return the content of a file; of a huge one only its beginning and its size."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            content, size = file.read(_MAX_BYTES), path.stat().st_size
        return content if size <= _MAX_BYTES else content + str(size).encode()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", "make it readable or remove it") from error


def _names(content: bytes, key: str = "") -> str:
    """Return the keys of a JSON object, or of the object under `key` in it."""
    try:
        values = json.loads(content)
    except ValueError:
        return "unreadable"
    found = values.get(key) if key and isinstance(values, dict) else values
    return (", ".join(map(str, found)) or "empty") if isinstance(found, dict) else "unreadable"


def _digest(content: bytes | None, endpoints: Mapping[str, str], servers: bytes | None) -> str:
    parts = [(content or b"").hex(), sorted(endpoints.items()), *([] if servers is None else [servers.hex()])]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def advice_names(folder: Path) -> list[str]:
    """Return the names in ADVICE that exist in `folder`."""
    return [name for name in ADVICE if (folder / name).exists()]


def advice_files(folder: Path) -> Iterator[Path]:
    """Yield the files with advice in `folder`, in a fixed order."""
    for name in ADVICE:
        path = folder / name
        if path.is_dir():
            for place, folders, names in os.walk(path):
                folders.sort()
                yield from (Path(place) / one for one in sorted(names))
        elif path.exists():
            yield path


def _advice_digest(folder: Path) -> str:
    files = list(islice(advice_files(folder), _MAX_ADVICE_FILES))
    parts = [[str(path.relative_to(folder)), (_content(path) or b"").hex()] for path in files]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest() if parts else ""
