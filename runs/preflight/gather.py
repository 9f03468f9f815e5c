"""Gather the inputs for the rules from the script, the working folder, earlier runs, the dataset viewer and the Hub."""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from ml_intern.configs.errors import TemporaryError
from ml_intern.configs.hosts import base_url, hub_url
from ml_intern.configs.settings import ComputeTarget
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.net.dataset_viewer import choose_config, choose_split, open_viewer
from ml_intern.net.hub import call_hub
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.registry import backend_spec
from ml_intern.runs.preflight.check import check
from ml_intern.runs.preflight.findings import PreflightReport
from ml_intern.runs.preflight.hardware import machine_for
from ml_intern.runs.preflight.inputs import EarlierRun, PreflightInputs
from ml_intern.runs.preflight.program import Program, read_program, words_of
from ml_intern.runs.remote.measured import MeasuredTarget, read_measured
from ml_intern.store.runs import RunRow

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

_SECONDS: Final = 10.0
"""Timeout of one request to the Hub or the dataset viewer. Without an answer in time the fact is unknown."""
_MAX_QUESTIONS: Final = 3
_KEPT_SECONDS: Final = 60.0
_MAX_KEPT: Final = 200
_answers: dict[tuple[str, ...], tuple[float, object]] = {}
_MAX_PATH: Final = 300
_MAX_SCRIPT: Final = 1_000_000


async def preflight(plan: RunPlan, context: ToolContext, *, limit_named: bool = True) -> PreflightReport:
    """Check a run before it starts. The overrides in the plan apply. Nothing is changed."""
    rows = await context.services.store.runs.list(context.thread_id)
    if any(row.call == context.mark for row in rows):
        return PreflightReport()  # this call started its run before and now continues
    here = await asyncio.to_thread(local_inputs, plan)
    tried = await context.services.store.experiments.list(context.thread_id)
    shapes = {one.run_id: str(json.loads(one.config).get("shape", "")) for one in tried if one.run_id}
    inputs = replace(
        here,
        limit_named=limit_named,
        earlier=tuple(_earlier(row, shapes) for row in rows),
        user_text=context.user_text,
        target=await asyncio.to_thread(_measured, plan, context),
        sandboxed=not backend_spec(plan.backend).is_remote and context.sandbox_profile != "none",
    )
    if inputs.program is not None:
        inputs = replace(inputs, **await _asked(plan, inputs, context))
    return await asyncio.to_thread(check, plan, inputs)


def _measured(plan: RunPlan, context: ToolContext) -> MeasuredTarget | None:
    target = context.options.compute.get(plan.target)
    return read_measured(context.services.store.home, ComputeTarget.model_validate(target)) if target else None


def _earlier(row: RunRow, shapes: Mapping[str, str]) -> EarlierRun:
    took = row.finished - row.started if row.finished is not None and row.started is not None else None
    return EarlierRun(row.backend, row.state, shapes.get(row.id, ""), took, row.limit_s or 0.0)


def local_inputs(plan: RunPlan) -> PreflightInputs:
    """Read the inputs available in the script and the working folder."""
    path, text = script_of(plan)
    if not text:
        named = frozenset(word for word in words_of(plan) if _is_path(word, plan.workdir))
        return PreflightInputs(script_path=path, local_paths=named)
    try:
        program = read_program(text, arguments_of(plan, path), plan.environment)
    except (SyntaxError, ValueError, RecursionError) as error:
        return PreflightInputs(script_path=path, unreadable=" ".join(str(error).split()) or type(error).__name__)
    folders = {plan.workdir, plan.workdir / Path(path).parent}
    words = {*program.strings, *words_of(plan), *plan.script_args}
    return PreflightInputs(
        program=program,
        script_path=path,
        local_paths=frozenset(word for word in words if _is_path(word, plan.workdir)),
        local_modules=frozenset(name for name in program.imports if any(_is_module(name, one) for one in folders)),
    )


def script_of(plan: RunPlan) -> tuple[str, str]:
    """Return the path of the plan's Python script, as the plan names it, and its text; both "" without a script."""
    if plan.script:
        return str(plan.script_path or ""), plan.script
    for word in words_of(plan):
        path = plan.workdir / word
        if word.endswith(".py") and path.is_file() and path.stat().st_size <= _MAX_SCRIPT:
            return word, path.read_text(errors="replace")
    return "", ""


def arguments_of(plan: RunPlan, path: str) -> tuple[str, ...]:
    """Return the command-line arguments of the script."""
    words = words_of(plan)
    return plan.script_args if plan.script or path not in words else words[words.index(path) + 1 :]


def _is_path(word: str, folder: Path) -> bool:
    if not word.strip() or len(word) > _MAX_PATH or "\n" in word or "\0" in word:
        return False
    try:
        return (folder / Path(word).expanduser()).exists()
    except (OSError, RuntimeError):
        return False


def _is_module(name: str, folder: Path) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()


async def _asked(plan: RunPlan, inputs: PreflightInputs, context: ToolContext) -> Mapping[str, Any]:
    """Request the columns and row counts of the datasets and the sizes of the models. Omit what times out."""
    program = inputs.program
    if program is None or not program.trains:
        return {}
    machine = machine_for(plan, inputs.target)
    has_gpu = machine is not None and machine.gpu is not None
    models = _ids(program.models, inputs) if has_gpu or inputs.target else []
    datasets = _ids(program.datasets, inputs)
    answers = await asyncio.gather(
        *(
            _known((*_places(context), name, program.digest), partial(_columns, name, program, context))
            for name in datasets
        ),
        *(_known((*_places(context), name, "parameters"), partial(_parameters, name)) for name in models),
    )
    seen = {name: one for name, one in zip(datasets, answers, strict=False) if isinstance(one, tuple)}
    sizes = dict(zip(models, answers[len(datasets) :], strict=True))
    return {
        "columns": {name: columns for name, (columns, _) in seen.items()},
        "rows": {name: rows for name, (_, rows) in seen.items()},
        "parameters": {name: size for name, size in sizes.items() if isinstance(size, int) and size},
    }


def _ids(names: Iterable[str], inputs: PreflightInputs) -> list[str]:
    """Return the names that are Hub ids."""
    return [name for name in names if name.count("/") == 1 and name not in inputs.local_paths][:_MAX_QUESTIONS]


def _places(context: ToolContext) -> tuple[str, str]:
    return hub_url(), base_url(context.options.hosts, "dataset_viewer")


async def _known(key: tuple[str, ...], ask: Callable[[], Awaitable[T]]) -> T | None:
    """Return the answer, or None when the request fails: an unknown fact does not block a run.

    Answers are cached for a minute, because a call is checked three times: by policy, before it runs, at its start.
    """
    since, answer = _answers.get(key, (-math.inf, None))
    if time.monotonic() - since < _KEPT_SECONDS:
        return cast(T | None, answer)
    try:
        async with asyncio.timeout(_SECONDS):
            answer = await ask()
    except (ToolError, TemporaryError, TimeoutError):
        answer = None
    if len(_answers) >= _MAX_KEPT:
        _answers.clear()
    _answers[key] = (time.monotonic(), answer)
    return answer


async def _columns(dataset: str, program: Program, context: ToolContext) -> tuple[tuple[str, ...], int]:
    call = next(one for one in program.named("load_dataset") if one.value("path", 0) == dataset)
    wanted, split = call.value("name", 1), call.value("split")
    async with open_viewer(dataset, context) as viewer:
        splits = await viewer.splits()
        config = choose_config(splits, wanted if isinstance(wanted, str) else "")
        info = await viewer.info(config)
    names = [str(name) for name in info.get("features") or {}]
    chosen = choose_split(splits[config], split if isinstance(split, str) and "[" not in split else "")
    rows = ((info.get("splits") or {}).get(chosen) or {}).get("num_examples")
    if not names:
        raise ToolError(f"the dataset viewer lists no columns for {dataset}")
    return tuple(names), rows if isinstance(rows, int) else 0


async def _parameters(model: str) -> int:
    def asked(api: "HfApi") -> int:
        found = api.model_info(model, expand=["safetensors"]).safetensors
        return found.total if found is not None else 0

    return await call_hub(asked, f"model {model}", seconds=_SECONDS)
