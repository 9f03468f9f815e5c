"""Record every run as an experiment when it starts. Its metrics and cost are added at its end."""

import asyncio
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ml_intern.configs.errors import TemporaryError
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.net.hub import call_hub
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.preflight.gather import local_inputs
from ml_intern.runs.preflight.inputs import PreflightInputs
from ml_intern.runs.preflight.program import Program
from ml_intern.runs.preflight.rules_files import paths_read
from ml_intern.safety.secrets.known import without_secrets
from ml_intern.safety.secrets.redaction import redact
from ml_intern.sandbox.git.reader import open_git
from ml_intern.store.experiments import ExperimentRow

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from ml_intern.store.store import Store

_SECONDS: Final = 10.0
_MAX_HASHED: Final = 256 * 1024 * 1024
_SEEDERS: Final = ("set_seed", "manual_seed", "seed", "seed_everything", "enable_full_determinism")


async def record_launch(run_id: str, plan: RunPlan, context: ToolContext, *, only_scripts: bool = False) -> None:
    """Record the script, settings, seed, commit and data of a run before it starts."""
    inputs = await asyncio.to_thread(local_inputs, plan)
    if only_scripts and inputs.program is None:
        return
    here = await asyncio.to_thread(_known_here, plan, inputs)
    program = inputs.program
    row = ExperimentRow(
        id=run_id,
        thread_id=context.thread_id,
        root_id=context.root_id,
        folder=str(context.workspace),
        run_id=run_id,
        name=redact(plan.name or plan.display)[:200],
        data_revision=await _data_revision(program, inputs) if program is not None else "",
        **here,
    )
    await record_sources(run_id, context)
    await context.services.store.experiments.put(row)


async def record_sources(id: str, context: ToolContext) -> None:
    """Record that an experiment was described while outside text was in the conversation."""
    await context.services.store.tainted_files.add({_key(id): ""}, context.taint)


async def experiment_sources(store: "Store", ids: Sequence[str]) -> tuple[str, ...]:
    """Return the outside sources of the descriptions of experiments."""
    found = await store.tainted_files.find([_key(id) for id in ids])
    return tuple(dict.fromkeys(source for one in found for source in one.sources))


def _key(id: str) -> str:
    """Return the place of an experiment in the table of tainted files. It is not an absolute path."""
    return f"experiment:{id}"


def _known_here(plan: RunPlan, inputs: PreflightInputs) -> dict[str, Any]:
    program = inputs.program
    return {
        "config": redact(json.dumps(_settings(plan, program), ensure_ascii=False, default=str)),
        "seed": _seed(program) if program is not None else None,
        "git_commit": git_commit(plan.workdir),
        "script_sha256": program.digest if program is not None else "",
        "split_hashes": json.dumps(_hashes(plan, inputs)),
    }


def _settings(plan: RunPlan, program: Program | None) -> Mapping[str, Any]:
    """Return what distinguishes runs: models, datasets, trainer settings, arguments and hardware."""
    found: dict[str, Any] = {"backend": plan.backend, "hardware": plan.hardware, "arguments": list(plan.script_args)}
    if program is None:
        return found
    chosen = [call for call in program.calls if call.name.endswith(("Config", "Arguments"))]
    plain = {
        name: value
        for call in chosen
        for name, value in call.keywords.items()
        if isinstance(value, str | int | float | bool)
    }
    return {**found, "models": program.models, "datasets": program.datasets, **plain, "shape": program.shape}


def _seed(program: Program) -> int | None:
    given = [program.setting("seed"), *(call.value("seed", 0) for call in program.named(*_SEEDERS))]
    return next((one for one in given if isinstance(one, int) and abs(one) < 2**63), None)


def git_commit(folder: Path) -> str:
    """Return the commit checked out in a folder; "" outside a repository. Nothing is changed."""
    environment = without_secrets(os.environ)
    try:
        with open_git(("rev-parse", "--verify", "-q", "HEAD"), folder) as git:
            output = git.run(seconds=_SECONDS, cwd=folder, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (output or b"").decode().strip()


def _hashes(plan: RunPlan, inputs: PreflightInputs) -> dict[str, str]:
    """Return the sha256 digests of the local files the script reads, without very large ones."""
    if inputs.program is None:
        return {}
    read = [name for name in dict.fromkeys(paths_read(inputs.program)) if name in inputs.local_paths]
    return {name: found for name in read if (found := file_hash(plan.workdir / name))}


def file_hash(path: Path) -> str:
    """Return the sha256 digest of a file; "" when it is not a regular file or larger than 256 MiB."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_HASHED:
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


async def _data_revision(program: Program, inputs: PreflightInputs) -> str:
    """Return the revision of the first Hub dataset: the one the script pins, else the latest; "" when unknown."""
    for call in program.named("load_dataset"):
        name, pinned = call.value("path", 0), call.value("revision")
        if not isinstance(name, str) or name.count("/") != 1 or name in inputs.local_paths:
            continue
        return pinned if isinstance(pinned, str) else await _latest_revision(name)
    return ""


async def _latest_revision(dataset: str) -> str:
    def request(api: "HfApi") -> str:
        return api.dataset_info(dataset, timeout=_SECONDS).sha or ""

    try:
        return await call_hub(request, f"dataset {dataset}", seconds=_SECONDS)
    except (ToolError, TemporaryError):
        return ""
