"""List, read, change, copy, import and delete the threads in a data folder. No model is called."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from ml_intern.models.secrets import register_secrets
from ml_intern.session.opening.store import open_store
from ml_intern.session.protocol import Deleted, ThreadStatus
from ml_intern.session.remote.servers import chosen_server

if TYPE_CHECKING:
    from ml_intern.outbound.conversation import Conversation
    from ml_intern.runs.summary import RunSeries
    from ml_intern.session.protocol import IdleThread, PruneRequest, Pruning, StatementCheck, Threads
    from ml_intern.session.thread import StoredThread
    from ml_intern.snapshots.workspace import ReportProblem
    from ml_intern.store.runs import RunRow
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow

    T = TypeVar("T", bound=StoredThread)


@asynccontextmanager
async def threads_of_user(warn: "ReportProblem") -> AsyncIterator["Threads"]:
    """Open the threads of the server that the user chose, or those of this machine."""
    if (server := chosen_server()) is None:
        async with open_threads(warn) as threads:
            yield threads
        return
    from ml_intern.session.remote.opening import server_threads

    async with server_threads(server) as threads:
        yield threads


@asynccontextmanager
async def open_threads(warn: "ReportProblem") -> AsyncIterator["LocalThreads"]:
    """Open the threads in the user's data folder. `warn` reports problems with snapshots."""
    async with open_store() as store:
        yield LocalThreads(store, warn)


class LocalThreads:
    """The threads of a database on this machine. Methods import heavy packages only when they need them."""

    def __init__(self, store: "Store", warn: "ReportProblem") -> None:
        self._store = store
        self._warn = warn
        self._roster = _Roster(store, self.read)

    async def list(
        self, folder: str | None = None, limit: int | None = None, *, children: bool = False, user: str = ""
    ) -> Sequence["ThreadRow"]:
        """Return the threads of a folder or of all folders, last used first. `children` adds those of sub-agents.

        `user` is the id of a user of a team's server; then only threads are returned that the user has access to.
        """
        return await self._store.threads.list(folder, limit, children=children, user=user)

    async def statuses(self, limit: int | None = None, user: str = "") -> Sequence[ThreadStatus]:
        """Return the threads of all folders with what they ask and measure, last used first. `user` as for `list`."""
        return await self._roster.statuses(limit, user)

    async def runs(self, id: str) -> "Sequence[RunSeries]":
        """Return the background runs of a thread with the points of their metrics, oldest first."""
        from ml_intern.runs.summary import run_series

        rows = [run for run in await self._store.runs.list() if id in (run.thread_id, run.root_id)]
        return [await asyncio.to_thread(run_series, row) for row in rows]

    async def sizes(self, ids: Sequence[str]) -> Mapping[str, int]:
        """Return the size of each thread's checkpoints in bytes."""
        return await self._store.checkpoints.sizes(ids)

    async def find(self, text: str) -> "ThreadRow":
        """Return the thread with this id, unique prefix or title. Raises UsageError."""
        return await self._store.threads.find(text)

    @asynccontextmanager
    async def read(self, text: str) -> AsyncIterator["StoredThread"]:
        """Open a thread for reading. Raises UsageError."""
        from ml_intern.session.thread import StoredThread

        row = await self._found(text)
        async with self._opened(StoredThread, row) as thread:
            yield thread

    @asynccontextmanager
    async def hold(self, text: str) -> AsyncIterator["IdleThread"]:
        """Lock and open a thread, or attach to the process that has it open. Raises UsageError or ThreadLocked."""
        from ml_intern.session.thread import LockedThread
        from ml_intern.session.wire.attaching import attach, is_served

        row = await self._found(text)
        if is_served(self._store.home, row.id):
            async with attach(self, row.id, name="threads") as remote:
                yield remote
            return
        async with self._store.hold(row.id), self._opened(LockedThread, row) as thread:
            yield thread

    async def _found(self, text: str) -> "ThreadRow":
        register_secrets()
        return await self._store.threads.find(text)

    @asynccontextmanager
    async def _opened(self, kind: "type[T]", row: "ThreadRow") -> AsyncIterator["T"]:
        from ml_intern.session.thread import idle_turns
        from ml_intern.snapshots.workspace import Snapshots

        turns = await idle_turns(self._store, row.id, row.folder)
        files = Snapshots(self._store.home, Path(turns.services.defaults.workspace), self._warn)
        try:
            yield kind(turns, files)
        finally:
            await files.close()

    async def secrets_in_snapshots(self) -> Sequence[str]:
        """Return the files with secrets that older versions left in snapshots. Raises TemporaryError."""
        from ml_intern.session.pruning import secrets_in_snapshots

        return await secrets_in_snapshots(self._store)

    async def fork(self, text: str, turn: int | None) -> "ThreadRow":
        """Copy a thread up to the end of a turn. Raises UsageError."""
        from ml_intern.session.thread import idle_turns

        row = await self._found(text)
        turns = await idle_turns(self._store, row.id, row.folder)
        return await self._store.threads.find(await turns.fork(turn))

    async def delete(self, id: str) -> Deleted:
        """Delete a thread, its sub-agents, artifacts and snapshots. Raises ThreadLocked."""
        from ml_intern.snapshots.prune import delete_snapshots

        deleted = tuple(await self._store.delete(id))
        snapshots = await asyncio.to_thread(delete_snapshots, self._store.home, list(deleted))
        return Deleted(deleted, tuple(snapshots.skipped))

    async def import_conversation(self, conversation: "Conversation", folder: str, name: str) -> "ThreadRow":
        """Create a thread from a conversation that was read from the file `name`. Secrets are redacted."""
        from ml_intern.outbound.exporting.formats import redact_conversation
        from ml_intern.session.exchange.importing import import_thread
        from ml_intern.session.thread import idle_turns

        register_secrets()
        conversation = redact_conversation(conversation)
        id = str(uuid4())
        async with self._store.hold(id):
            return await import_thread(await idle_turns(self._store, id, folder), conversation, folder, name)

    async def upload_trace(self, text: str, folder: str) -> str:
        """Upload a thread to the user's dataset of traces. Return its address. Raises UsageError or TemporaryError."""
        from ml_intern.configs.hosts import hub_url
        from ml_intern.configs.layers import load
        from ml_intern.session.exchange.traces import Traces
        from ml_intern.session.thread import idle_turns

        row = await self._found(text)
        turns = await idle_turns(self._store, row.id, row.folder)
        traces = Traces(self._store.home, load(Path(folder)).settings)
        return f"{hub_url()}/{await traces.upload_now(turns)}"

    async def check_evidence(self, file: str, root: str | None = None) -> "StatementCheck":
        """Check a statement that was written beside an artifact. Names are relative to `root`. Raises UsageError."""
        from ml_intern.evidence.statement.check import check_statement
        from ml_intern.evidence.statement.recompute import recomputed

        check = await asyncio.to_thread(check_statement, Path(file), Path(root) if root else None)
        return replace(check, items=(*check.items, *await recomputed(check)))

    async def prune(self, request: "PruneRequest", *, do_it: bool) -> "Pruning":
        """Delete old threads and thin out long ones, or return what would be pruned."""
        from ml_intern.session.pruning import prune

        return await prune(self._store, request, do_it=do_it)


_Requests = tuple[Mapping[str, Any], ...]


class _Roster:
    """Reads the statuses again and again. What a thread asks is read once for each of its states."""

    def __init__(self, store: "Store", read: "Callable[[str], AbstractAsyncContextManager[StoredThread]]") -> None:
        self._store = store
        self._read = read
        self._asked: dict[tuple[str, float], _Requests] = {}

    async def statuses(self, limit: int | None, user: str) -> "Sequence[ThreadStatus]":
        """Return the threads, last used first."""
        rows = await self._store.threads.list(None, limit, user=user)
        runs = [run for run in await self._store.runs.list() if run.open]
        asked = {(row.id, row.updated): await self._requests(row) for row in rows if row.state == "waiting"}
        self._asked = asked
        return [ThreadStatus(row, asked.get((row.id, row.updated), ()), _metric(row, runs)) for row in rows]

    async def _requests(self, row: "ThreadRow") -> _Requests:
        known = self._asked.get((row.id, row.updated))
        if known is not None:
            return known
        async with self._read(row.id) as thread:
            pending = await thread.pending_approval()
        return tuple(pending["requests"]) if pending else ()


def _metric(row: "ThreadRow", runs: "Sequence[RunRow]") -> str:
    """Return the running background runs of a thread with their last metrics."""
    from ml_intern.runs.summary import metrics_line

    own = [run for run in runs if row.id in (run.thread_id, run.root_id)]
    return "; ".join(" ".join(filter(None, [run.name or run.id, metrics_line(run)])) for run in own)
