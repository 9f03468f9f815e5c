"""Build a RunPlan from the arguments of a call."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Required, TypedDict, Unpack

from ml_intern.execution.call import ToolError
from ml_intern.execution.process.environment import bash_path
from ml_intern.execution.tool import ToolContext
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.registry import backend_spec
from ml_intern.safety.shell.paths import is_credential, is_project_secret


class PlanFields(TypedDict, total=False):
    """The fields of a plan that are taken from the call unchanged."""

    backend: Required[str]
    script_args: tuple[str, ...]
    name: str
    environment: Mapping[str, str]
    secrets: tuple[str, ...]
    hardware: str | None
    target: str
    nodes: int
    gpus: str
    image: str | None
    namespace: str | None
    limit_s: Required[float]
    notify_when: tuple[str, ...]
    overrides: tuple[str, ...]


MAX_LIMIT_S = 30 * 24 * 3600.0
MAX_SCRIPT = 1_000_000
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def limit_seconds(text: str) -> float:
    """Convert a time limit such as 90, "30m" or "2h" to seconds. Raises ToolError."""
    found = _DURATION.fullmatch(text.strip().lower())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= MAX_LIMIT_S:
        raise ToolError(f"timeout {text!r} is not a valid time limit; use 45m, 6h or 2d (at most 30d)")
    return seconds


def read_script(script: str, context: ToolContext) -> tuple[str, Path | None]:
    """Return the text and path of a script given as a path or as text. The path of a text is None. Raises ToolError."""
    if "\n" in script:
        return script, None
    path = context.resolve(script, reading=True)
    if is_credential(str(path)) or is_project_secret(str(path)):
        raise ToolError(f"{script} contains secrets and cannot be run as a script")
    if not path.is_file():
        raise ToolError(f"there is no script {script}; write it first, or pass its text")
    if path.stat().st_size > MAX_SCRIPT:
        raise ToolError(f"{script} is too large for a script (at most {MAX_SCRIPT:,} bytes)")
    return path.read_text(encoding="utf-8", errors="replace"), path


async def planned(
    context: ToolContext, *, command: str = "", script: str = "", workdir: str = ".", **fields: Unpack[PlanFields]
) -> RunPlan:
    """Return the plan for running a bash command or a Python script. Raises ToolError."""
    folder = await asyncio.to_thread(context.resolve, workdir)
    if not folder.is_dir():
        raise ToolError(f"there is no folder {workdir}; omit workdir to run in the workspace")
    if command:
        program = "bash" if backend_spec(fields["backend"]).is_remote else await asyncio.to_thread(bash_path)
        return RunPlan(display=command, workdir=folder, command=(program, "-c", command), **fields)
    text, path = await asyncio.to_thread(read_script, script, context)
    words = " ".join([context.name_of(path) if path else "a script", *fields.get("script_args", ())])
    return RunPlan(display=words, workdir=folder, script=text, script_path=path, **fields)
