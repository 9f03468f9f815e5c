"""The name and version of the installed distribution, and the command that adds an extra to it."""

import sys
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "ml-intern-graph"
"""The name on the package index. The command is `ml-intern`, a name another distribution has there."""
_TEMPORARY = ("archive-v", "environments-v", "builds-v")
"""What folders of environments in uv's cache begin with; uvx runs programs there."""


@cache
def version() -> str:
    """The installed version. The metadata is read on the first call."""
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
