"""The environment of started commands: the user's without the agent's venv and secrets; and this process's PATH."""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from ml_intern.configs.paths import DATABASE_VARIABLE, cache_home, private_folder

CALL_MARK = "ML_INTERN_CALL"
_SECRET = re.compile(r"(?:^|_)(?:TOKEN|KEY|APIKEY|SECRET|PASSWORD|PASSWD|PAT)$", re.IGNORECASE)
_VENV_NAMES = ("VIRTUAL_ENV", "PYTHONHOME", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON")
_SET_BY_UV_RUN = ("UV", "UV_RUN_RECURSION_DEPTH", "VIRTUAL_ENV_PROMPT")
# Commands have no terminal: no pager, no prompts, no colour, and unbuffered Python output.
_NO_TERMINAL = {"PAGER": "cat", "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0", "TERM": "dumb"}
_DEFAULTS = {"PYTHONUNBUFFERED": "1"}


def child_environment(environ: Mapping[str, str], links: Path | None = None, *, sandboxed: bool) -> dict[str, str]:
    """Return the environment for a command: `environ` without secrets and without the agent's venv.

    Args:
        environ: the environment the agent was started with.
        links: a folder to put last on PATH; it provides uv when only the agent's venv has it.
        sandboxed: keep folders of the workspace on PATH.
    """
    venv = agent_venv()
    result = {name: value for name, value in environ.items() if not _SECRET.search(name) and name != DATABASE_VARIABLE}
    if venv is not None:
        result = _without_venv(result, venv)
    path_text = result.get("PATH", os.defpath)
    entries = (original_path(path_text) if sandboxed else path_text).split(os.pathsep)
    path = [entry for entry in entries if not (venv and _inside(entry, venv))]
    result["PATH"] = os.pathsep.join([*path, str(links)] if links else path)
    return {**_DEFAULTS, **result, **_NO_TERMINAL}


def agent_venv() -> Path | None:
    """Return the virtual environment of this process, or None in a plain Python installation."""
    return Path(sys.prefix).resolve() if sys.prefix != sys.base_prefix else None


def _without_venv(environ: Mapping[str, str], venv: Path) -> dict[str, str]:
    inside = {name for name in _VENV_NAMES if name in environ and _inside(environ[name], venv)}
    if "VIRTUAL_ENV" in inside:
        inside |= set(_SET_BY_UV_RUN)
    return {name: value for name, value in environ.items() if name not in inside}


@lru_cache(maxsize=256)
def _inside(path: str, folder: Path) -> bool:
    """Return whether a path is in a folder. Cached: it resolves every folder on PATH before every command.

    A venv's python is a symlink to the base interpreter, so only its parent folder is resolved.
    """
    entry = Path(path)
    return entry.is_absolute() and (entry.is_relative_to(folder) or _real_parent(entry).is_relative_to(folder))


def _real_parent(entry: Path) -> Path:
    return entry.resolve() if os.path.isdir(entry) else entry.parent.resolve()  # noqa: PTH112  is_dir() may raise


def uv_links() -> Path | None:
    """Return a private folder with links to uv and uvx only, created if missing; None when the venv has no uv."""
    found = {name: Path(sys.prefix, "bin", name) for name in ("uv", "uvx")}
    present = {name: path for name, path in found.items() if path.is_file()}
    if not present:
        return None
    folder = private_folder(cache_home() / "bin")
    for name, target in present.items():
        _link(folder / name, target)
    return folder


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    fresh = link.with_name(f".{link.name}.{uuid4().hex}")  # several threads may do this at once
    fresh.symlink_to(target)
    fresh.replace(link)


def bash_path() -> str:
    """Return the path of the bash that runs commands.

    Raises:
        FileNotFoundError: bash is not on PATH.
    """
    found = shutil.which("bash")
    if found is None:
        raise FileNotFoundError("bash is not on PATH")
    return found


_original_paths: dict[str, str] = {}
"""Reduced PATH -> the user's PATH."""


def exclude_from_path(folders: Iterable[str]) -> None:
    """Remove these folders from this process's PATH; sandboxed commands still get the user's PATH.

    A command could otherwise put its own `git` beside the project environment's python, and this process would use it.
    """
    users = os.environ.get("PATH", os.defpath)
    roots = [Path(os.path.realpath(folder)) for folder in folders]
    reduced = os.pathsep.join(
        entry
        for entry in users.split(os.pathsep)
        if Path(entry).is_absolute() and not any(Path(os.path.realpath(entry)).is_relative_to(root) for root in roots)
    )
    if reduced != users:
        _original_paths[reduced] = original_path(users)
        os.environ["PATH"] = reduced


def original_path(path: str) -> str:
    """Return the user's PATH that `path` was reduced from, or `path` itself."""
    return _original_paths.get(path, path)
