"""Start a run: record it, reserve its cost, then launch it, so that no run starts twice or is lost."""

import asyncio
import hashlib
import socket
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ml_intern.configs.errors import LimitReached, TemporaryError
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.limits import UNLIMITED
from ml_intern.runs.backends.base import Backend, LaunchesTogether, RunPlan
from ml_intern.runs.backends.registry import backend_of, backend_spec
from ml_intern.runs.notify import conditions_json
from ml_intern.runs.poll import stop
from ml_intern.runs.record import record_launch
from ml_intern.runs.run_folder import LOG, run_folder
from ml_intern.safety.secrets.redaction import redact
from ml_intern.store.ledger import CostReservation
from ml_intern.store.runs import QUEUED, RUNNING, RunEnding, RunRow

_ID_CHARACTERS = 10


def run_id(context: ToolContext, number: int = 0) -> str:
    """Return the id of a run that this call starts. It is the same when the call resumes after a crash."""
    mark = f"{context.mark}#{number}" if number else context.mark
    return f"run-{hashlib.sha256(mark.encode()).hexdigest()[:_ID_CHARACTERS]}"


async def start_run(plan: RunPlan, context: ToolContext, *, only_scripts: bool = False) -> RunRow:
    """Start a run, or resume its start after a crash, and return its row. It may have ended by then.

    The run is recorded as an experiment; with `only_scripts`, only when it runs a Python script.

    Raises:
        ToolError: the budget does not allow it, or the launch failed.
    """
    store, id = context.services.store, run_id(context)
    row = await store.runs.get(id) or await _record(plan, id, context)
    await context.set_handle(id)
    return await _started(plan, row, context, only_scripts=only_scripts)


async def start_runs(plans: Sequence[RunPlan], context: ToolContext) -> list[RunRow]:
    """Start several runs as `start_run` does, and return their rows; those that could not be launched have failed.

    The maximum cost of all is reserved before the first one starts.

    Raises:
        ToolError: the budget does not allow all of them; none was started.
    """
    store = context.services.store
    ids = [run_id(context, number) for number in range(len(plans))]
    rows = [await store.runs.get(id) for id in ids]
    if rows[-1] is None:  # none was launched yet
        rows = await _record_all(plans, ids, rows, context)
    await context.set_handle(ids[0])
    pairs = list(zip(plans, filter(None, rows), strict=True))
    if len(plans) > 1 and isinstance(backend := backend_of(plans[0].backend, store), LaunchesTogether):
        return await _started_together(backend, pairs, context)
    started = []
    for plan, row in pairs:
        try:
            started.append(await _started(plan, row, context, only_scripts=False))
        except ToolError:
            started.append(await store.runs.get(row.id) or row)
    return started


async def _started_together(
    backend: LaunchesTogether, pairs: Sequence[tuple[RunPlan, RunRow]], context: ToolContext
) -> list[RunRow]:
    """Start the runs of a sweep that have no handle yet, in one request, and return the rows of all."""
    waiting = {row.id: plan for plan, row in pairs if row.open and row.handle is None}
    for id, plan in waiting.items():
        await record_launch(id, plan, context)
    await _completed(_launch_all(backend, waiting, [row.id for _, row in pairs], context), context)
    _notice(context)
    return [await context.services.store.runs.get(row.id) or row for _, row in pairs]


async def _record_all(
    plans: Sequence[RunPlan], ids: Sequence[str], known: Sequence[RunRow | None], context: ToolContext
) -> list[RunRow | None]:
    rows: list[RunRow | None] = []
    try:
        for plan, id, row in zip(plans, ids, known, strict=True):
            rows.append(row or await _record(plan, id, context))
    except ToolError:
        for row in filter(None, rows):
            await context.services.store.runs.end(row.id, RunEnding("cancelled", reason="the budget is too small"))
        raise
    return rows


async def _started(plan: RunPlan, row: RunRow, context: ToolContext, *, only_scripts: bool) -> RunRow:
    if row.open and row.handle is None:
        await record_launch(row.id, plan, context, only_scripts=only_scripts)
        backend = backend_of(row.backend, context.services.store)
        (row,) = await _completed(_launch(backend, plan, row, context), context)
    _notice(context)
    return row


def _notice(context: ToolContext) -> None:
    if context.scope.watch is not None:
        context.scope.watch.notice()


async def _record(plan: RunPlan, id: str, context: ToolContext) -> RunRow:
    row = RunRow(
        id=id,
        thread_id=context.thread_id,
        command=redact(plan.display),
        state=QUEUED,
        root_id=context.root_id,
        call=context.mark,
        name=plan.name,
        backend=plan.backend,
        host="" if backend_spec(plan.backend).is_remote else socket.gethostname(),
        folder=str(context.workspace),
        hardware=plan.hardware,
        limit_s=plan.limit_s,
        usd_per_hour=plan.usd_per_hour,
        notify_when=conditions_json(plan.notify_when),
        log=str(run_folder(context.services.store.home, id) / LOG),
    )
    try:
        await context.services.store.runs.add(row, _reservation(plan, context))
    except LimitReached as reached:
        raise ToolError(f"not launched: {reached.message}; choose cheaper hardware or a shorter limit") from reached
    return row


def _reservation(plan: RunPlan, context: ToolContext) -> CostReservation | None:
    """Return the reservation for its maximum cost; None when it is free."""
    if plan.max_usd == 0:
        return None
    cap = context.options.max_budget_usd
    return CostReservation(plan.max_usd, None if cap == UNLIMITED else cap)


async def _completed(launch: Coroutine[Any, Any, list[RunRow]], context: ToolContext) -> list[RunRow]:
    """Perform a launch and return the rows of its runs. An interrupted one is completed, then its runs are stopped."""
    work = asyncio.ensure_future(launch)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        if not work.exception():
            await asyncio.gather(*(stop(context.services.store, row) for row in work.result()))
        raise


async def _launch(backend: Backend, plan: RunPlan, row: RunRow, context: ToolContext) -> list[RunRow]:
    runs = context.services.store.runs
    try:
        handle = await backend.find(row.id) or await backend.launch(plan, row.id, context)
    except ToolError as error:
        await runs.end(row.id, RunEnding("failed", reason=redact(str(error))))
        raise
    except TemporaryError as error:
        raise ToolError(f"{row.id} may have started ({error.message}); check with `jobs list`") from error
    await runs.update(row.id, handle=handle, state=RUNNING)
    return [replace(row, handle=handle, state=RUNNING)]


async def _launch_all(
    backend: LaunchesTogether, plans: Mapping[str, RunPlan], sweep: Sequence[str], context: ToolContext
) -> list[RunRow]:
    """Start runs that are not found. Those that cannot start have failed; if nothing answers, they may have started."""
    runs = context.services.store.runs
    handles = dict[str, str]()
    try:
        found = await asyncio.gather(*map(backend.find, plans))
        handles = {id: handle for id, handle in zip(plans, found, strict=True) if handle}
        absent = {id: plan for id, plan in plans.items() if id not in handles}
        if absent:
            handles |= await backend.launch_all(absent, sweep, context)
    except ToolError as error:
        for id in plans.keys() - handles.keys():
            await runs.end(id, RunEnding("failed", reason=redact(str(error))))
    except TemporaryError:
        return []
    for id, handle in handles.items():
        await runs.update(id, handle=handle, state=RUNNING)
    return [row for id in handles if (row := await runs.get(id))]
