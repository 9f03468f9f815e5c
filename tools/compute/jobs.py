"""The jobs tool: starts runs that outlive the turn, and shows, waits for and cancels them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ml_intern.configs.errors import TemporaryError
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import source_note
from ml_intern.execution.tool import NO_EFFECTS, ExternalEffects, OnResume, ToolContext, tool
from ml_intern.runs.backends.base import FetchesOutputs
from ml_intern.runs.backends.hardware import all_hardware
from ml_intern.runs.backends.hub_schedules import change_schedule, create_schedule, list_schedules, schedule_effects
from ml_intern.runs.backends.registry import LOCAL, backend_of, backend_spec
from ml_intern.runs.launch import start_run, start_runs
from ml_intern.runs.logs import last_lines, part, tail
from ml_intern.runs.notify import conditions_json
from ml_intern.runs.poll import poll, stop
from ml_intern.runs.summary import report, sources_of, standing_line, started_text, sweep_text
from ml_intern.safety.secrets.redaction import redact
from ml_intern.store.runs import RunRow
from ml_intern.tools.compute.jobs_args import JobsArgs, build_plan, build_plans, is_read_only, run_preflight

PART_BYTES = 30_000
LOG_CHARACTERS = 16_000
GLANCE_CHARACTERS = 2_000
OUTPUTS = "outputs"
"""The folder in the workspace for files of remote runs."""
_MIN_POLL_S = 0.25


async def jobs_effects(args: Mapping[str, Any], context: ToolContext) -> ExternalEffects:
    """Return the secrets, price and namespace of a run. Other operations have no external effects."""
    if args.get("operation") not in ("run", "sweep", "schedule"):
        return NO_EFFECTS
    parsed = JobsArgs.model_validate(args)
    try:
        plans = await build_plans(parsed, context)
    except ToolError as error:
        if parsed.target or not backend_spec(parsed.backend).has_prices:
            return ExternalEffects(refused=str(error))
        raise
    if refusal := (await run_preflight(parsed, plans[0], context)).refusal:
        return ExternalEffects(refused=refusal)
    if parsed.operation == "schedule":
        return await schedule_effects(plans[0], context)
    effects = await backend_of(plans[0].backend, context.services.store).effects(plans[0], context)
    costs = [plan.max_usd for plan in plans]
    if effects.cost_usd and len(plans) > 1:
        return replace(effects, cost_usd=None if None in costs else sum(filter(None, costs)))
    return effects


def _on_resume(args: Mapping[str, Any]) -> OnResume:
    """Choose the resume policy: a run is reattached by its id, a schedule may exist already, others can be repeated."""
    reattaches = backend_spec(args.get("backend", LOCAL.name)).can_reattach
    starts: OnResume = "reattach" if reattaches else "report"
    kinds: dict[Any, OnResume] = {"run": starts, "sweep": starts, "schedule": "report"}
    return kinds.get(args.get("operation"), "rerun")


def _runs_shell(args: Mapping[str, Any]) -> bool:
    return not args.get("target") and not backend_spec(args.get("backend", LOCAL.name)).is_remote


@tool(
    timeout=None,
    path_args=("workdir",),
    reads=is_read_only,
    effects=jobs_effects,
    on_resume=_on_resume,
    runs_shell=_runs_shell,
)
async def jobs(args: JobsArgs, context: ToolContext) -> ToolResult | str:
    """Start and manage training and other long work in the background. A run outlives the turn.

    - run: start a command or a Python script locally or as a Hugging Face Job, and return its id at once. Then continue
      with other work or end your turn: you are resumed when it ends, with its exit code, last lines, metrics and cost.
      Do not wait in a loop; waiting between turns costs nothing. A job's machine starts empty and is deleted
      afterwards: push or upload the results. Print losses as plain lines, not in progress bars. Preflight checks refuse
      a run that would fail, with the fix: run a script locally with a few steps before you launch it as a job.
    - sweep: start a script with each combination of `parameters`, which replace {NAME} in args or are passed as --NAME.
      Runs wait for a free machine. With method optuna, the runs share a study: each gets values chosen from the results
      so far, and one that is worse than the median stops early. Compare them with experiments when all have ended.
    - list: the runs of this thread. inspect: one run, with its CPU, memory and GPU usage.
    - logs: the last lines, or the text after offset. The result names the file with the full log.
    - wait: until it ends, at most a few minutes, if the very next step needs it.
    - notify: set the conditions in notify_when, such as "loss is nan", "eval_f1 > 0.8" or "no line for 10 min".
      Each resumes you once while the run continues. Also possible with run.
    - cancel: stop it and everything it started.
    With `target`, a run uses a machine or cluster of the user's settings. It gets a copy of the workspace, without
    ignored files. fetch: copy its files that match `outputs` to outputs/RUN in the workspace.
    On the Hub: hardware: machines and prices for jobs. schedule: a recurring job, at the times in `when`. schedules:
    all schedules, or one. suspend_schedule, resume_schedule, delete_schedule.
    """
    if operation := HUB_OPERATIONS.get(args.operation):
        return await operation(args, context)
    if args.operation in ("run", "sweep"):
        return await _run(args, context)
    if args.operation == "list":
        return await _list(context)
    row = await _find_run(args.run, context)
    return await RUN_OPERATIONS[args.operation](row, args, context)


async def _run(args: JobsArgs, context: ToolContext) -> ToolResult:
    plans = await build_plans(args, context)
    findings = await run_preflight(args, plans[0], context)
    if findings.refusal:
        raise ToolError(findings.refusal)
    if args.operation == "sweep":
        started = sweep_text(await start_runs(plans, context))
    else:
        started = started_text(await start_run(plans[0], context))
    return replace(started, text="\n".join([started.text, *(f"note: {note}" for note in findings.notes)]))


async def _find_run(id: str, context: ToolContext) -> RunRow:
    rows = await context.services.store.runs.list(context.thread_id)
    found = [row for row in rows if row.id == id] or [row for row in rows if id and row.id.startswith(id)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(row.id for row in rows[-10:]) or "none"
    raise ToolError(f"there is no run {id!r} in this thread; its runs are: {known}")


async def _poll(row: RunRow, context: ToolContext) -> tuple[RunRow, str]:
    """Return the current state of a run, or the last known state with a note why it could not be polled."""
    try:
        return await poll(context.services.store, row), ""
    except TemporaryError as error:
        return row, f" (last known state: {error.message})"


async def _list(context: ToolContext) -> str:
    rows = await context.services.store.runs.list(context.thread_id)
    if not rows:
        return "this thread has no runs"
    lines = []
    for row in rows:
        current, stale = await _poll(row, context)
        name = f"{current.name} " if current.name else ""
        lines.append(f"{current.id} {name}({current.command[:100]}): {standing_line(current)}{stale}")
    return "\n".join(lines)


async def _untrusted(row: RunRow, text: str) -> ToolResult:
    """Return text of a run, which may come from outside sources."""
    sources = await sources_of(row)
    return ToolResult("\n".join([text, *source_note(sources)]), taint=sources)


async def _logs(row: RunRow, args: JobsArgs, context: ToolContext) -> ToolResult:
    current, stale = await _poll(row, context)
    log = Path(current.log)
    if args.offset is None:
        text = await asyncio.to_thread(last_lines, log, args.lines, LOG_CHARACTERS)
        closing = f"{standing_line(current)}{stale}; full log: {log}"
    else:
        read = await asyncio.to_thread(part, log, args.offset, PART_BYTES, ended=not current.open)
        text, closing = read.text[:LOG_CHARACTERS], f"{current.state}{stale}; next offset {read.next}"
    return await _untrusted(current, f"{redact(text).rstrip() or '(no output yet)'}\n[{closing}]")


async def _wait(row: RunRow, args: JobsArgs, context: ToolContext) -> ToolResult | str:
    current, stale = await _poll(row, context)
    try:
        async with asyncio.timeout(args.seconds):
            while current.open:
                pause = backend_spec(current.backend).poll_seconds
                await asyncio.sleep(max(pause, _MIN_POLL_S))
                current, stale = await _poll(current, context)
    except TimeoutError:
        still = f"{current.id} is still running after {args.seconds} s: {standing_line(current)}{stale}"
        return f"{still}\nEnd your turn; you are resumed when it ends."
    return await _untrusted(current, report(current))


async def _inspect(row: RunRow, _: JobsArgs, context: ToolContext) -> ToolResult:
    current, stale = await _poll(row, context)
    lines = [f"{current.id} {current.name}".rstrip(), f"command: {current.command}", f"{standing_line(current)}{stale}"]
    if current.open and current.handle is not None:
        lines.append(await backend_of(current.backend, context.services.store).usage(current.handle))
    lines.append(await asyncio.to_thread(tail, Path(current.log), GLANCE_CHARACTERS))
    return await _untrusted(current, redact("\n".join(filter(None, lines))))


async def _notify(row: RunRow, args: JobsArgs, context: ToolContext) -> str:
    """Replace the conditions of a run. One that was met before can be met again. Raises ToolError."""
    if not row.open:
        raise ToolError(f"{row.id} has already ended: {standing_line(row)}")
    await context.services.store.runs.update(row.id, notify_when=conditions_json(args.notify_when))
    return f"{row.id}: {'; '.join(args.notify_when) or 'no conditions'}"


async def _cancel(row: RunRow, _: JobsArgs, context: ToolContext) -> str:
    if not row.open:
        return f"{row.id} has already ended: {standing_line(row)}"
    current = await stop(context.services.store, row)
    return f"{current.id}: {standing_line(current)}"


async def _fetch(row: RunRow, args: JobsArgs, context: ToolContext) -> ToolResult:
    """Copy files of a remote run into the workspace. Raises ToolError."""
    backend = backend_of(row.backend, context.services.store)
    if not isinstance(backend, FetchesOutputs) or row.handle is None:
        raise ToolError(f"a run of backend {row.backend} has no files to fetch; upload them to the Hub from the run")
    place = context.workspace / OUTPUTS / row.id
    fetched = await backend.fetch_outputs(row.handle, args.outputs or ["*"], place)
    lines = [f"{context.name_of(place / one.path)} ({one.size:,} bytes, sha256 {one.digest})" for one in fetched.files]
    return await _untrusted(row, "\n".join([*lines, *fetched.notes]) or "no file matches")


async def hardware(_: JobsArgs, __: ToolContext) -> str:
    """List the machines with prices, the cheapest first. Raises ToolError."""
    return "\n".join(machine.line for machine in (await all_hardware()).values())


async def schedule(args: JobsArgs, context: ToolContext) -> str:
    """Schedule a recurring job. Raises ToolError."""
    return await create_schedule(await build_plan(args, context), args.when, context)


async def schedules(args: JobsArgs, context: ToolContext) -> str:
    """Show all schedules, or one. Raises ToolError."""
    if args.schedule:
        return await change_schedule("inspect", args.schedule, args.namespace or None, context)
    return await list_schedules(args.namespace or None, context)


async def _change_schedule(args: JobsArgs, context: ToolContext) -> str:
    verb = args.operation.removesuffix("_schedule")
    return await change_schedule(verb, args.schedule, args.namespace or None, context)


HUB_OPERATIONS: Final[dict[str, Callable[[JobsArgs, ToolContext], Awaitable[str]]]] = {
    "hardware": hardware,
    "schedule": schedule,
    "schedules": schedules,
    "suspend_schedule": _change_schedule,
    "resume_schedule": _change_schedule,
    "delete_schedule": _change_schedule,
}
RUN_OPERATIONS: Final[Mapping[str, Callable[[RunRow, JobsArgs, ToolContext], Awaitable[ToolResult | str]]]] = {
    "logs": _logs,
    "wait": _wait,
    "inspect": _inspect,
    "notify": _notify,
    "fetch": _fetch,
    "cancel": _cancel,
}
