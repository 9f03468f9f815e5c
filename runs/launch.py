"""Starting a run: written down, then reserved, then launched, so that nothing starts twice and nothing is lost."""

import asyncio
import hashlib
import socket
from dataclasses import replace

from ml_intern.configs.errors import LimitReached, TemporaryError
from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.limits import UNLIMITED
from ml_intern.runs.backends.base import Backend, RunPlan
from ml_intern.runs.backends.registry import backend_of, backend_spec
from ml_intern.runs.poll import stop
from ml_intern.runs.record import record_launch
from ml_intern.runs.run_folder import LOG, run_folder
from ml_intern.safety.secrets.redaction import redact
from ml_intern.store.ledger import CostReservation
from ml_intern.store.runs import QUEUED, RUNNING, RunEnding, RunRow

_ID_CHARACTERS = 10


def run_id(context: ToolContext) -> str:
    """The id of the run that this call starts; the same when the call is gone on with after a crash."""
    return f"run-{hashlib.sha256(context.mark.encode()).hexdigest()[:_ID_CHARACTERS]}"


async def start_run(plan: RunPlan, context: ToolContext, *, only_scripts: bool = False) -> RunRow:
    """Start a run, or go on with starting it after a crash, and give its row; it may have ended meanwhile.

    It is written down as an experiment; with `only_scripts` only when it runs a Python script.

    Raises:
        ToolError: the budget does not allow it, or it could not be launched.
    """
    store, id = context.services.store, run_id(context)
    row = await store.runs.get(id) or await _written(plan, id, context)
    await context.set_handle(id)
    if row.open and row.handle is None:
        await record_launch(id, plan, context, only_scripts=only_scripts)
        row = await _launched(plan, row, context)
    if context.scope.watch is not None:
        context.scope.watch.notice()
    return row


async def _written(plan: RunPlan, id: str, context: ToolContext) -> RunRow:
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
        log=str(run_folder(context.services.store.home, id) / LOG),
    )
    try:
        await context.services.store.runs.add(row, _worst(plan, context))
    except LimitReached as reached:
        raise ToolError(f"not launched: {reached.message}; take cheaper hardware or a shorter limit") from reached
    return row


def _worst(plan: RunPlan, context: ToolContext) -> CostReservation | None:
    """What is reserved for it; nothing for what costs nothing."""
    if plan.usd_per_hour == 0:
        return None
    cap = context.options.max_budget_usd
    return CostReservation(plan.worst_usd, None if cap == UNLIMITED else cap)


async def _launched(plan: RunPlan, row: RunRow, context: ToolContext) -> RunRow:
    backend = backend_of(row.backend, context.services.store)
    work = asyncio.ensure_future(_launch(backend, plan, row, context))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        # Half a launch would leave a run that nobody knows of: it is finished, then stopped.
        await asyncio.wait({work})
        if not work.exception():
            await stop(context.services.store, work.result())
        raise


async def _launch(backend: Backend, plan: RunPlan, row: RunRow, context: ToolContext) -> RunRow:
    runs = context.services.store.runs
    try:
        handle = await backend.find(row.id) or await backend.launch(plan, row.id, context)
    except ToolError as fault:
        await runs.end(row.id, RunEnding("failed", reason=redact(str(fault))))
        raise
    except TemporaryError as fault:
        raise ToolError(f"whether {row.id} started is not known ({fault.message}); `jobs list` looks again") from fault
    await runs.update(row.id, handle=handle, state=RUNNING)
    return replace(row, handle=handle, state=RUNNING)
