"""The environment of the commands we start: the caller's, without the agent's own venv and without secrets."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from ml_intern.configs.paths import cache_home, private_folder
from ml_intern.execution.process.programs import callers_path

CALL_MARK = "ML_INTERN_CALL"
_SECRET = re.compile(r"(?:^|_)(?:TOKEN|KEY|APIKEY|SECRET|PASSWORD|PASSWD|PAT)$", re.IGNORECASE)
_VENV_NAMES = ("VIRTUAL_ENV", "PYTHONHOME", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON")
_SET_BY_UV_RUN = ("UV", "UV_RUN_RECURSION_DEPTH", "VIRTUAL_ENV_PROMPT")
# There is no terminal: no pager, no question, no colour, and Python's output as it is written.
_NO_TERMINAL = {"PAGER": "cat", "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0", "TERM": "dumb"}
_DEFAULTS = {"PYTHONUNBUFFERED": "1"}


def child_environment(
    environ: Mapping[str, str], links: Path | None = None, *, sandboxed: bool = False
) -> dict[str, str]:
    """The environment for a command: `environ` without secrets and without the venv the agent runs in.

    Args:
        environ: what the agent was started with.
        links: an existing folder to put last on PATH, where uv is found when only the agent's venv has it.
        sandboxed: programs of the workspace may be found, too.
    """
    own = agent_venv()
    kept = {name: value for name, value in environ.items() if not _SECRET.search(name)}
    if own is not None:
        kept = _without_venv(kept, own)
    given = kept.get("PATH", os.defpath)
    entries = (callers_path(given) if sandboxed else given).split(os.pathsep)
    path = [entry for entry in entries if not (own and _inside(entry, own))]
    kept["PATH"] = os.pathsep.join([*path, str(links)] if links else path)
    return {**_DEFAULTS, **kept, **_NO_TERMINAL}


def agent_venv() -> Path | None:
    """The virtual environment this process runs in; None when it runs in a plain installation of Python."""
    return Path(sys.prefix).resolve() if sys.prefix != sys.base_prefix else None


def _without_venv(environ: Mapping[str, str], own: Path) -> dict[str, str]:
    inside = {name for name in _VENV_NAMES if name in environ and _inside(environ[name], own)}
    if "VIRTUAL_ENV" in inside:
        inside |= set(_SET_BY_UV_RUN)
    return {name: value for name, value in environ.items() if name not in inside}


@lru_cache(maxsize=256)
def _inside(path: str, folder: Path) -> bool:
    """Remembered, since it follows the links of every folder on PATH before every command.

    The venv's python is a link to the base interpreter: only the folder it stands in tells where it belongs.
    """
    entry = Path(path)
    return entry.is_absolute() and (entry.is_relative_to(folder) or _real_parent(entry).is_relative_to(folder))


def _real_parent(entry: Path) -> Path:
    return entry.resolve() if entry.is_dir() else entry.parent.resolve()


def uv_links() -> Path | None:
    """A private folder holding just links to uv and uvx, made when missing; None when there is no uv beside us."""
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
    fresh = link.with_name(f".{link.name}.{uuid4().hex}")  # several threads may be here at once
    fresh.symlink_to(target)
    fresh.replace(link)


def shell() -> str:
    """The bash that runs commands.

    Raises:
        FileNotFoundError: there is none on PATH.
    """
    found = shutil.which("bash")
    if found is None:
        raise FileNotFoundError("bash is not on PATH")
    return found
