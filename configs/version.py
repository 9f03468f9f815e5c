"""The installation: this distribution's name and version, the command that adds an extra, and the plugins."""

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

DISTRIBUTION = "ml-intern-graph"
"""The name on the package index. The command is `ml-intern`, a name another distribution has there."""
_TEMPORARY = ("archive-v", "environments-v", "builds-v")
"""Prefixes of the environments in uv's cache, in which uvx runs programs."""


@cache
def version() -> str:
    """Return the installed version. The metadata is read on the first call."""
    from importlib.metadata import version as installed

    return installed(DISTRIBUTION)


def install_hint(extra: str) -> str:
    """Return the command that adds an extra, such as "studio", to this installation."""
    return hint_for(extra, Path(sys.prefix), _origin())


def hint_for(extra: str, prefix: Path, origin: dict[str, Any]) -> str:
    """Return the command that adds an extra to the environment in `prefix`.

    `origin` is the content of direct_url.json (PEP 610), which says where the distribution was installed from. It is
    empty for one from a package index.
    """
    checkout = _folder(origin) if origin.get("dir_info", {}).get("editable") else None
    if checkout and prefix.resolve().is_relative_to(checkout):
        return f"uv sync --extra {extra}"
    required = f"'{_requirement(extra, origin)}'"
    editable = f"-e '{checkout}[{extra}]'" if checkout else ""
    if (prefix / "uv-receipt.toml").exists():
        return f"uv tool install {editable or required}"
    if (prefix / "pipx_metadata.json").exists():
        return f"pipx install --force {editable or required}"
    if any(part.startswith(_TEMPORARY) for part in prefix.parts):
        return f"uvx --from {required} ml-intern"
    return f"pip install {editable or required}"


def _requirement(extra: str, origin: dict[str, Any]) -> str:
    name = f"{DISTRIBUTION}[{extra}]"
    url = origin.get("url", "")
    if vcs := origin.get("vcs_info"):
        return f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}"
    return f"{name} @ {url}" if url else name


def _folder(origin: dict[str, Any]) -> Path | None:
    parts = urlsplit(origin.get("url", ""))
    return Path(unquote(parts.path)).resolve() if parts.scheme == "file" else None


def _origin() -> dict[str, Any]:
    import json
    from importlib.metadata import distribution

    found: dict[str, Any] = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    return found


def plugins(group: str) -> "tuple[EntryPoint, ...]":
    """Return the entry points of a group, `ml_intern.tools` or `ml_intern.compute`. Nothing is imported."""
    return tuple(_entry_points(tuple(sys.path)).select(group=group))


@cache
def _entry_points(_search_path: tuple[str, ...]) -> "EntryPoints":
    """Scan the installed packages once for each sys.path: it takes tens of milliseconds."""
    from importlib.metadata import entry_points

    return cast("EntryPoints", entry_points())  # Python 3.11 has another type, with the same `select`.
