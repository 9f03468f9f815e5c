"""Hugging Face sandboxes of threads: created, used, found again, ended. A lost one is said, never silently replaced."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
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
from ml_intern.runs.backends.hub_jobs import status_of
from ml_intern.runs.backends.sandbox_records import SandboxRecord, SandboxRecords
from ml_intern.store.ledger import ZERO_TOTALS, CostReservation

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobInfo, Sandbox

    from ml_intern.store.store import Store

T = TypeVar("T")

LABEL = "ml-intern-sandbox"
WORKSPACE = "/workspace"
IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
LIFETIME_S = 24 * 3600.0
"""The Hub ends every sandbox after so long; its worst price is that of all of it."""
IDLE_S = 1800
MAX_OF_A_THREAD = 3
START_SECONDS = 300.0
SECONDS = 60.0
SWEEP_SECONDS = 15.0
"""A start waits no longer for what an earlier session left."""
_OPENED: "WeakKeyDictionary[Store, Sandboxes]" = WeakKeyDictionary()


class SandboxGone(ToolError):
    """The sandbox is no more, and its files with it."""


@dataclass(frozen=True)
class MachineRequest:
    """What is asked for."""

    hardware: str = DEFAULT
    image: str = IMAGE
    idle_s: int = IDLE_S
    """Without a call and a background process for so long it ends by itself."""
    secrets: tuple[str, ...] = ()


def sandboxes_of(store: "Store") -> "Sandboxes":
    """The sandboxes of an open store."""
    if store not in _OPENED:
        _OPENED[store] = Sandboxes(store)
    return _OPENED[store]


async def machine_of(wish: MachineRequest) -> Hardware:
    """The hardware that is asked for. Raises ToolError without a token, or when there is none of that name."""
    if not await get_hub_token():
        raise ToolError("a Hugging Face sandbox needs a token; the user has to set HF_TOKEN or run `hf auth login`")
    return await hardware_of(wish.hardware)


class Sandboxes:
    """The sandboxes of the threads that this process runs."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self.records = SandboxRecords(store.home)
        self._open: dict[str, Sandbox] = {}

    async def create(self, wish: MachineRequest, context: ToolContext) -> SandboxRecord:
        """Start one for the thread; its price is reserved before.

        Raises:
            ToolError: the budget does not allow it, or it could not be started, in the Hub's words.
        """
        machine, owner = await machine_of(wish), await token_owner(context)
        there = [one for one in await self._of(context.root_id) if not one.ended]
        if len(there) >= MAX_OF_A_THREAD:
            raise ToolError(f"this thread has {len(there)} sandboxes already; kill one that is not needed")
        cap = context.options.max_budget_usd
        worst = CostReservation(machine.worst_price(LIFETIME_S), None if cap == UNLIMITED else cap)
        names = (context.thread_id, context.root_id)
        try:
            entry = await self._store.ledger.reserve(*names, "job", f"sandbox {machine.name}", worst)
        except LimitReached as reached:
            raise ToolError(f"not started: {reached.message}; take cheaper hardware") from reached
        record = SandboxRecord(context.root_id, owner, machine.name, machine.usd_per_minute, entry)
        await asyncio.to_thread(self.records.save, record)
        try:
            sandbox = await _asked(lambda: _created(wish, record), START_SECONDS)
        except (ToolError, asyncio.CancelledError):
            await asyncio.shield(self._end(record, tell=""))
            raise
        record.job_id = sandbox.id
        await asyncio.to_thread(self.records.save, record)
        self._open[record.id] = sandbox
        return record

    async def current(self, context: ToolContext, id: str = "") -> SandboxRecord | None:
        """The newest sandbox of the thread, or the one with that id; None when there is none.

        Raises:
            SandboxGone: it ended since it was used last. That is said once.
            ToolError: there is none with that id.
        """
        known = await self._of(context.root_id)
        chosen = [one for one in known if id in ("", one.job_id)]
        if id and not chosen:
            names = ", ".join(one.job_id for one in known) or "none"
            raise ToolError(f"this thread has no sandbox {id[:100]}; it has {names}")
        if not chosen:
            return None
        record = chosen[-1]
        if record.ended:
            await self._forget(record)
            raise SandboxGone(_gone(record.job_id, record.ended))
        return record

    async def use(self, record: SandboxRecord, work: "Callable[[Sandbox], T]", seconds: float = SECONDS) -> T:
        """The result of `work` with the sandbox, which blocks and is run in a thread.

        Raises:
            SandboxGone: there is no such sandbox any more.
            ToolError: what the sandbox or the Hub said.
        """
        try:
            if record.id not in self._open:
                self._open[record.id] = await _asked(lambda: _connected(record), SECONDS)
                record.take()
                await asyncio.to_thread(self.records.save, record)
            sandbox = self._open[record.id]
            return await _asked(lambda: work(sandbox), seconds)
        except ToolError as fault:
            if why := await self._ending(record):
                await self._end(record, tell="")
                raise SandboxGone(_gone(record.job_id, why)) from fault
            raise

    async def kill(self, record: SandboxRecord) -> float | None:
        """End a sandbox and settle its price, which is given back in US dollars; None when it is not known."""
        return await self._end(record, tell="")

    async def close(self) -> list[str]:
        """End those of this process; a line for each. The model is told when it next wants one of them."""
        lines = []
        for record in await asyncio.to_thread(self.records.all):
            if record.id not in self._open or record.ended:
                continue
            try:
                await self._end(record, tell="it was ended with the session that used it")
                lines.append(f"the sandbox {record.job_id} was ended; its files are gone")
            except ToolError as fault:
                lines.append(f"the sandbox {record.job_id} could not be ended: {fault}")
        return lines

    async def sweep(self, keep: str = "") -> list[str]:
        """End those whose process died; a line for each. Those of the thread `keep`, which goes on, are left to it."""
        lines = []
        for record in await asyncio.to_thread(self.records.all):
            if record.ended or record.is_used or record.thread_id == keep:
                continue
            try:
                await self._end(record, tell="the process that used it died, and it was ended", seconds=SWEEP_SECONDS)
                lines.append(f"ended a sandbox that a killed session left: {record.job_id or record.id}")
            except ToolError as fault:
                lines.append(f"a sandbox that a killed session left could not be ended: {fault}")
        return lines

    async def _of(self, thread_id: str) -> list[SandboxRecord]:
        """The thread's; one whose creation was cut off by a crash is ended."""
        known = await asyncio.to_thread(self.records.of, thread_id)
        for record in [one for one in known if not one.job_id and not one.is_used]:
            await self._end(record, tell="")
            known.remove(record)
        return known

    async def _end(self, record: SandboxRecord, *, tell: str, seconds: float = SECONDS) -> float | None:
        """Cancel its job, settle its price, and forget it unless the model is still to be told."""

        def cancel(api: "HfApi") -> "JobInfo | None":
            labelled = api.list_jobs(labels={LABEL: record.id}, namespace=record.namespace)
            job = next(iter(labelled), None)
            if job is None:
                return None
            if str(job.status.stage) in ("SCHEDULING", "RUNNING"):
                api.cancel_job(job_id=job.id, namespace=record.namespace)
            return api.inspect_job(job_id=job.id, namespace=record.namespace)

        job = await call_hub(cancel, f"the sandbox {record.job_id}", seconds=seconds)
        cost = status_of(job, record.usd_per_minute).cost_usd if job else 0.0
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
        except ValueError:  # settled before a crash that came before the record was written
            return

    async def _forget(self, record: SandboxRecord) -> None:
        self._closed(record)
        await asyncio.to_thread(self.records.delete, record)
        await asyncio.to_thread(shutil.rmtree, self.records.mirror(record), ignore_errors=True)

    def _closed(self, record: SandboxRecord) -> None:
        if sandbox := self._open.pop(record.id, None):
            sandbox.close()

    async def _ending(self, record: SandboxRecord) -> str:
        """Why it is no more; empty while it runs, or when that cannot be told."""
        where: dict[str, Any] = {"job_id": record.job_id, "namespace": record.namespace}
        try:
            job = await call_hub(lambda api: api.inspect_job(**where), "the sandbox")
        except NotFound:
            return "the Hub knows it no more"
        except ToolError:
            return ""
        stage, message = str(job.status.stage), job.status.message
        return "" if stage in ("SCHEDULING", "RUNNING") else f"{stage.lower()}{f': {message}' if message else ''}"


def _gone(job_id: str, why: str) -> str:
    return (
        f"the sandbox {job_id} is gone ({why}), and with it its files and processes; what was to be done may have been "
        "done in part. Nothing replaces it by itself: start anew from what was pushed or downloaded"
    )


def _created(wish: MachineRequest, record: SandboxRecord) -> "Sandbox":
    from huggingface_hub import Sandbox

    hub_api()  # sets the library up
    sandbox = Sandbox.create(
        wish.image,
        flavor=wish.hardware,
        idle_timeout=wish.idle_s,
        secrets={name: secret_value(name) for name in wish.secrets} or None,
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


async def _asked(work: Callable[[], T], seconds: float) -> T:
    """The result of what blocks, in a thread. Raises ToolError with the words of the sandbox or the Hub."""
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
