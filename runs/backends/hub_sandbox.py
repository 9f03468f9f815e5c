"""Create, use, find and end the Hugging Face sandboxes of threads. A lost sandbox is reported, never replaced."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from ml_intern.configs.errors import LimitReached
from ml_intern.execution.call import ToolError
from ml_intern.execution.sandboxed import secret_value
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.limits import UNLIMITED
from ml_intern.net.blocking import run_in_thread
from ml_intern.net.hub import call_hub, hub_access_token, hub_api
from ml_intern.net.hub_errors import error_line, to_tool_error
from ml_intern.net.hub_identity import get_hub_token, token_owner
from ml_intern.net.service import NotFound
from ml_intern.runs.backends.hardware import DEFAULT, Hardware, hardware_of
from ml_intern.runs.backends.hub_jobs import IMAGE, status_of
from ml_intern.runs.backends.hub_labels import RUNNING_STAGES, cancel_job, job_with_id, labelled_job, stage_of
from ml_intern.runs.backends.sandbox_records import SandboxRecord, SandboxRecords
from ml_intern.store.ledger import ZERO_TOTALS, CostReservation
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobInfo, Sandbox

    from ml_intern.store.store import Store

T = TypeVar("T")

LABEL = "ml-intern-sandbox"
WORKSPACE = "/workspace"
LIFETIME_S = 24 * 3600.0
"""The Hub ends every sandbox after this time. The maximum cost is calculated from it."""
IDLE_S = 1800
MAX_OF_A_THREAD = 3
START_SECONDS = 300.0
SECONDS = 60.0
SWEEP_SECONDS = 15.0
"""How long a start waits for ending a sandbox left by an earlier session."""
_OPENED: "WeakKeyDictionary[Store, Sandboxes]" = WeakKeyDictionary()


class SandboxGone(ToolError):
    """The sandbox and its files no longer exist."""


@dataclass(frozen=True)
class MachineRequest:
    """The requested hardware and settings of a sandbox."""

    hardware: str = DEFAULT
    image: str = IMAGE
    idle_s: int = IDLE_S
    """The sandbox ends after this time without calls and background processes."""
    secrets: tuple[str, ...] = ()


def sandboxes_of(store: "Store") -> "Sandboxes":
    """Return the sandboxes of an open store."""
    if store not in _OPENED:
        _OPENED[store] = Sandboxes(store)
    return _OPENED[store]


async def machine_of(request: MachineRequest) -> Hardware:
    """Return the requested hardware. Raises ToolError without a token or for an unknown name."""
    if not await get_hub_token():
        raise ToolError("a Hugging Face sandbox needs a token; the user has to set HF_TOKEN or run `hf auth login`")
    return await hardware_of(request.hardware)


class Sandboxes:
    """The sandboxes of the threads that this process runs."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self.records = SandboxRecords(store.home)
        self._open: dict[str, Sandbox] = {}

    async def create(self, request: MachineRequest, context: ToolContext) -> SandboxRecord:
        """Reserve the cost of a sandbox and start it for the thread.

        Raises:
            ToolError: the budget does not allow it, or the Hub could not start it.
        """
        machine, owner = await machine_of(request), await token_owner(context)
        there = [one for one in await self._of(context.root_id) if not one.ended]
        if len(there) >= MAX_OF_A_THREAD:
            raise ToolError(f"this thread already has {plural(len(there), 'sandbox')}; kill one that is not needed")
        cap = context.options.max_budget_usd
        worst = CostReservation(machine.max_price(LIFETIME_S), None if cap == UNLIMITED else cap)
        names = (context.thread_id, context.root_id)
        try:
            entry = await self._store.ledger.reserve(*names, "job", f"sandbox {machine.name}", worst)
        except LimitReached as reached:
            raise ToolError(f"not started: {reached.message}; choose cheaper hardware") from reached
        record = SandboxRecord(context.root_id, owner, machine.name, machine.usd_per_minute, entry)
        await asyncio.to_thread(self.records.save, record)
        try:
            sandbox = await _run_blocking(lambda: _created(request, record), START_SECONDS)
        except (ToolError, asyncio.CancelledError):
            await asyncio.shield(self._end(record, tell=""))
            raise
        record.job_id = sandbox.id
        await asyncio.to_thread(self.records.save, record)
        self._open[record.id] = sandbox
        return record

    async def current(self, context: ToolContext, id: str = "") -> SandboxRecord | None:
        """Return the latest sandbox of the thread, or the one with this id; None when there is none.

        Raises:
            SandboxGone: it ended since its last use. Reported once.
            ToolError: the thread has no sandbox with this id.
        """
        known = await self._of(context.root_id)
        chosen = [one for one in known if id in ("", one.job_id)]
        if id and not chosen:
            names = ", ".join(one.job_id for one in known) or "none"
            raise ToolError(f"this thread has no sandbox {id[:100]}; its sandboxes: {names}")
        if not chosen:
            return None
        record = chosen[-1]
        if record.ended:
            await self._forget(record)
            raise SandboxGone(_gone(record.job_id, record.ended))
        return record

    async def use(self, record: SandboxRecord, work: "Callable[[Sandbox], T]", seconds: float = SECONDS) -> T:
        """Run the blocking function `work` with the sandbox in a thread, and return its result.

        Raises:
            SandboxGone: the sandbox no longer exists.
            ToolError: the sandbox or the Hub reported an error.
        """
        try:
            if record.id not in self._open:
                self._open[record.id] = await _run_blocking(lambda: _connected(record), SECONDS)
                record.take()
                await asyncio.to_thread(self.records.save, record)
            sandbox = self._open[record.id]
            return await _run_blocking(lambda: work(sandbox), seconds)
        except ToolError as fault:
            if why := await self._ending(record):
                await self._end(record, tell="")
                raise SandboxGone(_gone(record.job_id, why)) from fault
            raise

    async def kill(self, record: SandboxRecord) -> float | None:
        """End a sandbox and settle its cost. Return the cost in US dollars; None when unknown."""
        return await self._end(record, tell="")

    async def close(self, *, keep_waiting: bool = True) -> list[str]:
        """End the sandboxes of this process, and return one line for each. Their next use raises SandboxGone.

        With `keep_waiting`, the sandboxes of threads that wait for an approval continue: the approved call needs them.
        """
        lines = []
        for record in await asyncio.to_thread(self.records.all):
            if record.id not in self._open or record.ended:
                continue
            if keep_waiting and await self._is_waiting(record):
                self._closed(record)
                lines.append(
                    f"sandbox {record.job_id} continues while the thread waits for an approval, until it is idle"
                )
                continue
            try:
                await self._end(record, tell="it was ended when its session closed")
                lines.append(f"ended sandbox {record.job_id} and deleted its files")
            except ToolError as fault:
                lines.append(f"sandbox {record.job_id} could not be ended: {fault}")
        return lines

    async def sweep(self, keep: str = "") -> list[str]:
        """End the sandboxes whose process died, and return one line for each.

        Those of the thread `keep` and of threads that wait for an approval continue.
        """
        lines = []
        for record in await asyncio.to_thread(self.records.all):
            if record.ended or record.is_used or record.thread_id == keep or await self._is_waiting(record):
                continue
            try:
                await self._end(record, tell="it was ended because its process died", seconds=SWEEP_SECONDS)
                lines.append(f"ended sandbox {record.job_id or record.id}, which a killed session left running")
            except ToolError as fault:
                lines.append(f"a sandbox left running by a killed session could not be ended: {fault}")
        return lines

    async def _is_waiting(self, record: SandboxRecord) -> bool:
        """Return whether the sandbox's thread waits for an approval."""
        row = await self._store.threads.get(record.thread_id)
        return row is not None and row.state == "waiting"

    async def _of(self, thread_id: str) -> list[SandboxRecord]:
        """Return the sandboxes of the thread, after ending those whose creation was interrupted by a crash."""
        known = await asyncio.to_thread(self.records.of, thread_id)
        for record in [one for one in known if not one.job_id and not one.is_used]:
            await self._end(record, tell="")
            known.remove(record)
        return known

    async def _end(self, record: SandboxRecord, *, tell: str, seconds: float = SECONDS) -> float | None:
        """Cancel its job and settle its cost. Delete its record unless `tell` is still to be reported to the model."""

        cost = await _cancel(record, seconds)
        await self._settle(record, cost)
        if tell:
            record.ended = tell
            await asyncio.to_thread(self.records.save, record)
            self._closed(record)
        else:
            await self._forget(record)
        return cost

    async def _settle(self, record: SandboxRecord, cost: float | None) -> None:
        try:
            await self._store.ledger.settle(record.ledger_id, ZERO_TOTALS, cost)
        except ValueError:  # already settled by a process that crashed before it wrote the record
            return

    async def _forget(self, record: SandboxRecord) -> None:
        self._closed(record)
        await asyncio.to_thread(self.records.delete, record)
        await asyncio.to_thread(shutil.rmtree, self.records.mirror(record), ignore_errors=True)

    def _closed(self, record: SandboxRecord) -> None:
        if sandbox := self._open.pop(record.id, None):
            sandbox.close()

    async def _ending(self, record: SandboxRecord) -> str:
        """Return why the sandbox ended; "" while it runs or when unknown."""
        try:
            job = await call_hub(lambda api: job_with_id(api, record.job_id, record.namespace), "the sandbox")
        except NotFound:
            return "it no longer exists on the Hub"
        except ToolError:
            return ""
        stage, message = stage_of(job), job.status.message
        return "" if stage in RUNNING_STAGES else f"{stage.lower()}{f': {message}' if message else ''}"


def _gone(job_id: str, why: str) -> str:
    return (
        f"sandbox {job_id} is gone ({why}), including its files and processes; the operation may have run in part. "
        "It is not replaced automatically: create a new sandbox and start from what you pushed or downloaded"
    )


async def _cancel(record: SandboxRecord, seconds: float) -> float | None:
    """Cancel the job of a sandbox. Return its cost in US dollars; None when unknown. Raises ToolError."""

    def cancel(api: "HfApi") -> "JobInfo | None":
        if record.job_id:
            return cancel_job(api, job_with_id(api, record.job_id, record.namespace))
        job = labelled_job(api, LABEL, record.id, (record.namespace,))
        return cancel_job(api, job) if job else None

    try:
        job = await call_hub(cancel, f"the sandbox {record.job_id or record.id}", seconds=seconds)
    except NotFound:
        if record.job_id:
            return None
        raise
    return status_of(job, record.usd_per_minute).cost_usd if job else 0.0


def _created(request: MachineRequest, record: SandboxRecord) -> "Sandbox":
    from huggingface_hub import Sandbox

    hub_api()  # sets the library up
    sandbox = Sandbox.create(
        request.image,
        flavor=request.hardware,
        idle_timeout=request.idle_s,
        secrets={name: secret_value(name) for name in request.secrets} or None,
        namespace=record.namespace,
        labels={LABEL: record.id},
        start_timeout=START_SECONDS - 10,
        token=hub_access_token(),
    )
    sandbox.files.mkdir(WORKSPACE)
    return sandbox


def _connected(record: SandboxRecord) -> "Sandbox":
    from huggingface_hub import Sandbox

    hub_api()  # sets the library up
    return Sandbox.connect(record.job_id, namespace=record.namespace, token=hub_access_token())


async def _run_blocking(work: Callable[[], T], seconds: float) -> T:
    """Run a blocking function in a thread. Raises ToolError with the error of the sandbox or the Hub."""
    from huggingface_hub.errors import SandboxError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    try:
        return await run_in_thread(work, seconds=seconds, what="the sandbox")
    except SandboxError as error:
        raise ToolError(f"the sandbox: {error_line(error)}") from error
    except httpx.RequestError as error:
        raise ToolError(f"the sandbox does not answer ({type(error).__name__}); try again") from error
    except Exception as error:
        fault = to_tool_error(error, "the sandbox")
        if fault is None:
            raise
        raise fault from error
