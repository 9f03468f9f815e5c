"""The jobs tool: start runs that outlive the turn, and look after them. Each operation is a function here."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ml_intern.configs.errors import TemporaryError
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import source_note
from ml_intern.execution.tool import NO_EFFECTS, ExternalEffects, OnResume, ToolContext, tool
from ml_intern.runs.backends.hardware import all_hardware
from ml_intern.runs.backends.hub_schedules import change_schedule, create_schedule, list_schedules, schedule_effects
from ml_intern.runs.backends.registry import LOCAL, backend_of, backend_spec
from ml_intern.runs.launch import start_run
from ml_intern.runs.logs import last_lines, part, tail
from ml_intern.runs.poll import poll, stop
from ml_intern.runs.summary import report, sources_of, standing_line, started_text
from ml_intern.safety.secrets.redaction import redact
from ml_intern.store.runs import RunRow
from ml_intern.tools.compute.jobs_args import JobsArgs, checked, only_reads, plan_of

PART_BYTES = 30_000
LOG_CHARACTERS = 16_000
GLANCE_CHARACTERS = 2_000
_SECONDS_BETWEEN_LOOKS = 0.25


async def jobs_effects(args: Mapping[str, Any], context: ToolContext) -> ExternalEffects:
    """The secrets, the price and the namespace of a run. Looking and stopping reach nothing."""
    if args.get("operation") not in ("run", "schedule"):
        return NO_EFFECTS
    given = JobsArgs.model_validate(args)
    try:
        plan = await plan_of(given, context)
    except ToolError as fault:
        if not backend_spec(given.backend).has_prices:
            return ExternalEffects(refused=str(fault))
        raise
    if refusal := (await checked(given, plan, context)).refusal:
        return ExternalEffects(refused=refusal)
    if given.operation == "schedule":
        return await schedule_effects(plan, context)
    return await backend_of(plan.backend, context.services.store).effects(plan, context)


def _on_resume(args: Mapping[str, Any]) -> OnResume:
    """A launch is gone on with by the id of its run, a schedule may be there; all else does the same again."""
    reattaches = backend_spec(args.get("backend", LOCAL.name)).can_reattach
    kinds: dict[Any, OnResume] = {"run": "reattach" if reattaches else "report", "schedule": "report"}
    return kinds.get(args.get("operation"), "rerun")


@tool(timeout=None, path_args=("workdir",), reads=only_reads, effects=jobs_effects, on_resume=_on_resume)
async def jobs(args: JobsArgs, context: ToolContext) -> ToolResult | str:
    """Start training and other long work in the background, and look after it. A run outlives the turn.

    - run: start a command or a Python script here or as a Hugging Face Job, and return its id at once. Then go on with
      other work or end your turn: you are woken when it ends, with its exit code, last lines, metrics and cost. Do not
      wait in a loop; nothing is spent while you are not asked. A job's machine is empty and is gone afterwards: push or
      upload what has to stay. Print losses as plain lines; progress bars hide them. Checks refuse a run that would be
      in vain and say what to mend: run a script here first with a few steps, then launch it as a job.
    - list: the runs of this thread. inspect: one run, with its use of CPU, memory and GPU.
    - logs: its last lines, or what stands behind offset. The whole log is in the file that the answer names.
    - wait: until it ends, at most some minutes, when the very next step needs it.
    - cancel: stop it with all it started.
    Of the Hub: hardware: machines and prices for jobs. schedule: a job that starts again and again, at the times of
    `when`. schedules: those there are, or one. suspend_schedule, resume_schedule, delete_schedule.
    """
    if operation := HUB_OPERATIONS.get(args.operation):
        return await operation(args, context)
    if args.operation == "run":
        return await _run(args, context)
    if args.operation == "list":
        return await _list(context)
    row = await _named(args.run, context)
    match args.operation:
        case "logs":
            return await _logs(row, args, context)
        case "wait":
            return await _wait(row, args.seconds, context)
        case "inspect":
            return await _inspect(row, context)
        case _:
            return await _cancel(row, context)


async def _run(args: JobsArgs, context: ToolContext) -> ToolResult:
    plan = await plan_of(args, context)
    findings = await checked(args, plan, context)
    if findings.refusal:
        raise ToolError(findings.refusal)
    started = started_text(await start_run(plan, context))
    return replace(started, text="\n".join([started.text, *(f"note: {note}" for note in findings.notes)]))


async def _named(id: str, context: ToolContext) -> RunRow:
    rows = await context.services.store.runs.list(context.thread_id)
    found = [row for row in rows if row.id == id] or [row for row in rows if id and row.id.startswith(id)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(row.id for row in rows[-10:]) or "none"
    raise ToolError(f"there is no run {id!r} in this thread; its runs are: {known}")


async def _looked_at(row: RunRow, context: ToolContext) -> tuple[RunRow, str]:
    """The run as it stands, or as it stood last with why that is all that is known."""
    try:
        return await poll(context.services.store, row), ""
    except TemporaryError as fault:
        return row, f" (as it stood last: {fault.message})"


async def _list(context: ToolContext) -> str:
    rows = await context.services.store.runs.list(context.thread_id)
    if not rows:
        return "this thread has no runs"
    lines = []
    for row in rows:
        seen, doubt = await _looked_at(row, context)
        lines.append(
            f"{seen.id} {f'{seen.name} ' if seen.name else ''}({seen.command[:100]}): {standing_line(seen)}{doubt}"
        )
    return "\n".join(lines)


def _said(row: RunRow, text: str) -> ToolResult:
    """Text of a run, which may be a stranger's."""
    sources = sources_of(row)
    return ToolResult("\n".join([text, *source_note(sources)]), taint=sources)


async def _logs(row: RunRow, args: JobsArgs, context: ToolContext) -> ToolResult:
    seen, doubt = await _looked_at(row, context)
    log = Path(seen.log)
    if args.offset is None:
        text = await asyncio.to_thread(last_lines, log, args.lines, LOG_CHARACTERS)
        closing = f"{standing_line(seen)}{doubt}; all of it: {log}"
    else:
        read = await asyncio.to_thread(part, log, args.offset, PART_BYTES, ended=not seen.open)
        text, closing = read.text[:LOG_CHARACTERS], f"{seen.state}{doubt}; next offset {read.next}"
    return _said(seen, f"{redact(text).rstrip() or '(nothing yet)'}\n[{closing}]")


async def _wait(row: RunRow, seconds: int, context: ToolContext) -> ToolResult | str:
    seen, doubt = await _looked_at(row, context)
    try:
        async with asyncio.timeout(seconds):
            while seen.open:
                pause = backend_spec(seen.backend).poll_seconds
                await asyncio.sleep(max(pause, _SECONDS_BETWEEN_LOOKS))
                seen, doubt = await _looked_at(seen, context)
    except TimeoutError:
        return f"{seen.id} has not ended after {seconds} s: {standing_line(seen)}{doubt}\nEnd your turn to be woken."
    return _said(seen, report(seen))


async def _inspect(row: RunRow, context: ToolContext) -> ToolResult:
    seen, doubt = await _looked_at(row, context)
    lines = [f"{seen.id} {seen.name}".rstrip(), f"command: {seen.command}", f"{standing_line(seen)}{doubt}"]
    if seen.open and seen.handle is not None:
        lines.append(await backend_of(seen.backend, context.services.store).usage(seen.handle))
    lines.append(await asyncio.to_thread(tail, Path(seen.log), GLANCE_CHARACTERS))
    return _said(seen, redact("\n".join(filter(None, lines))))


async def _cancel(row: RunRow, context: ToolContext) -> str:
    if not row.open:
        return f"{row.id} ended before: {standing_line(row)}"
    seen = await stop(context.services.store, row)
    return f"{seen.id}: {standing_line(seen)}"


async def hardware(_: JobsArgs, __: ToolContext) -> str:
    """Every machine with its price, the cheapest first. Raises ToolError."""
    return "\n".join(machine.line for machine in (await all_hardware()).values())


async def schedule(args: JobsArgs, context: ToolContext) -> str:
    """Let a job start again and again. Raises ToolError."""
    return await create_schedule(await plan_of(args, context), args.when, context)


async def schedules(args: JobsArgs, context: ToolContext) -> str:
    """All schedules, or one. Raises ToolError."""
    if args.schedule:
        return await change_schedule("inspect", args.schedule, args.namespace or None, context)
    return await list_schedules(args.namespace or None, context)


async def _changed(args: JobsArgs, context: ToolContext) -> str:
    verb = args.operation.removesuffix("_schedule")
    return await change_schedule(verb, args.schedule, args.namespace or None, context)


HUB_OPERATIONS: Final[dict[str, Callable[[JobsArgs, ToolContext], Awaitable[str]]]] = {
    "hardware": hardware,
    "schedule": schedule,
    "schedules": schedules,
    "suspend_schedule": _changed,
    "resume_schedule": _changed,
    "delete_schedule": _changed,
}
