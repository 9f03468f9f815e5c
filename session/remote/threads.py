"""ServerThread and ServerThreads: the threads of a server, read over HTTP."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from ml_intern.configs.errors import UsageError
from ml_intern.graph import operations as ops
from ml_intern.outbound.conversation import Conversation
from ml_intern.session.protocol import ThreadStatus
from ml_intern.session.remote.client import ServerClient
from ml_intern.session.wire import codec
from ml_intern.session.wire.requests import REQUESTS
from ml_intern.store.ledger import usage_summary
from ml_intern.store.threads import ThreadRow

if TYPE_CHECKING:
    from ml_intern.graph.state import PlanStep
    from ml_intern.outbound.conversation import Message
    from ml_intern.runs.summary import RunSeries
    from ml_intern.session.protocol import (
        Deleted,
        IdleThread,
        PruneRequest,
        Pruning,
        QueuedMessage,
        Spending,
        StatementCheck,
        Totals,
        TurnInfo,
        UndoPreview,
    )


Hold = Callable[[str], "AbstractAsyncContextManager[IdleThread]"]
"""Opens the thread with an id."""


def elsewhere(what: str) -> UsageError:
    """Return the error of what only the machine of the server can do."""
    return UsageError(f"{what} is not available with --server", "use it on the server's machine")


class ServerThread:
    """A thread of a server."""

    def __init__(self, client: ServerClient, thread_id: str) -> None:
        self.thread_id = thread_id
        self._client = client

    @property
    def _path(self) -> str:
        return f"/api/threads/{self.thread_id}"

    async def _get(self, name: str) -> Any:
        return codec.adapter(REQUESTS[name].result).validate_python(await self._client.get(f"{self._path}/{name}"))

    async def row(self) -> ThreadRow | None:
        """Return its row in the list of threads; None before the first turn."""
        row: ThreadRow | None = await self._get("row")
        return row

    async def history(self) -> "Sequence[Message]":
        """Return its messages, without times."""
        return list(await self._get("history"))

    async def queue(self) -> "Sequence[QueuedMessage]":
        """Return the messages that wait for their turn, in order."""
        return list(await self._get("queue"))

    async def plan(self) -> "Sequence[PlanStep]":
        """Return its plan."""
        return list(await self._get("plan"))

    async def turns(self) -> "Sequence[TurnInfo]":
        """Return the turns that can be undone, oldest first."""
        return list(await self._get("turns"))

    async def totals(self) -> "Totals":
        """Return the usage of the thread and its sub-agents."""
        totals: Totals = await self._get("totals")
        return totals

    async def spending(self) -> "Sequence[Spending]":
        """Return the usage by source and model."""
        return list(await self._get("spending"))

    async def usage(self, since: "Sequence[Spending]" = ()) -> Mapping[str, Any]:
        """Return the usage since an earlier `spending`, in the form of the event `result`."""
        return usage_summary(await self.spending(), since)

    async def pending_approval(self) -> Mapping[str, Any] | None:
        """Return the fields of `approval_required`; None if no approval is pending."""
        pending: Mapping[str, Any] | None = await self._get("pending_approval")
        return pending

    async def preview_undo(self, operation: ops.Undo) -> "UndoPreview":
        """Return the effect of an undo, file by file. Raises the errors of an undo."""
        found = await self._client.get(f"{self._path}/preview_undo", turns=operation.turns)
        preview: UndoPreview = codec.adapter(REQUESTS["preview_undo"].result).validate_python(found)
        return preview

    async def conversation(self) -> Conversation:
        """Return the whole conversation with times and costs, for export."""
        conversation: Conversation = await self._get("conversation")
        return conversation

    async def evidence(self) -> Mapping[str, Any]:
        """Return the evidence card: answers with their claims, locks, what ran, and what is incomplete."""
        card: Mapping[str, Any] = await self._get("evidence")
        return card


class ServerThreads:
    """The threads of a server that the user sees. What only the server's machine can do raises UsageError."""

    def __init__(self, client: ServerClient, hold: Hold) -> None:
        self._client = client
        self._hold = hold

    async def list(
        self,
        folder: str | None = None,
        limit: int | None = None,
        *,
        children: bool = False,
        user: str = "",  # noqa: ARG002  the server knows whose token it is
    ) -> Sequence[ThreadRow]:
        """Return the threads of a folder of the server or of all folders, last used first."""
        if children:
            raise elsewhere("the list of sub-agents")
        rows = [status.row for status in await self.statuses()]
        return [row for row in rows if folder in (None, row.folder)][:limit]

    async def statuses(
        self,
        limit: int | None = None,
        user: str = "",  # noqa: ARG002  the server knows whose token it is
    ) -> Sequence[ThreadStatus]:
        """Return the threads with what they ask and measure, last used first."""
        found = await self._client.get("/api/threads")
        rows = codec.adapter(Sequence[ThreadRow]).validate_python([one["row"] for one in found])
        statuses = [
            ThreadStatus(row, tuple(one["requests"]), one["metric"]) for row, one in zip(rows, found, strict=True)
        ]
        return statuses[:limit]

    async def runs(self, id: str) -> "Sequence[RunSeries]":
        """Return the background runs of a thread with the points of their metrics, oldest first."""
        from ml_intern.runs.summary import RunSeries

        runs: Sequence[RunSeries] = codec.adapter(Sequence[RunSeries]).validate_python(
            await self._client.get(f"/api/threads/{id}/runs")
        )
        return runs

    async def find(self, text: str) -> ThreadRow:
        """Return the thread with this id, unique prefix or title. Raises UsageError."""
        rows = await self.list()
        found = [row for row in rows if text == row.id] or [
            row for row in rows if text and (row.id.startswith(text) or row.title == text)
        ]
        if len(found) != 1:
            problem = f"several threads match {text[:100]!r}" if found else f"no thread {text[:100]!r}"
            raise UsageError(f"{problem} on {self._client.server.name}", "`ml-intern threads list` shows the ids")
        return found[0]

    @asynccontextmanager
    async def read(self, text: str) -> AsyncIterator[ServerThread]:
        """Open a thread for reading. Raises UsageError."""
        yield ServerThread(self._client, (await self.find(text)).id)

    @asynccontextmanager
    async def hold(self, text: str) -> AsyncIterator["IdleThread"]:
        """Open a thread that can be renamed, undone and redone. Raises UsageError."""
        async with self._hold((await self.find(text)).id) as thread:
            yield thread

    async def fork(self, text: str, turn: int | None) -> ThreadRow:
        """Copy a thread up to the end of a turn. Raises UsageError."""
        row = await self.find(text)
        copy = await self._client.post(f"/api/threads/{row.id}/fork", {"turn": turn})
        return await self.find(copy["id"])

    async def sizes(self, ids: Sequence[str]) -> Mapping[str, int]:  # noqa: ARG002  the protocol's signature
        """Return nothing: the sizes of a server's threads cannot be read here."""
        return {}

    async def secrets_in_snapshots(self) -> Sequence[str]:
        """Return nothing: snapshots are on the server's machine."""
        return ()

    async def delete(self, id: str) -> "Deleted":  # noqa: ARG002  the protocol's signature
        """Refuse. Raises UsageError."""
        raise elsewhere("deleting threads")

    async def import_conversation(self, conversation: Conversation, folder: str, name: str) -> NoReturn:  # noqa: ARG002
        """Refuse. Raises UsageError."""
        raise elsewhere("importing threads")

    async def upload_trace(self, text: str, folder: str) -> str:  # noqa: ARG002  the protocol's signature
        """Refuse. Raises UsageError."""
        raise elsewhere("uploading traces")

    async def check_evidence(self, file: str, root: str | None = None) -> "StatementCheck":  # noqa: ARG002
        """Refuse. Raises UsageError."""
        raise elsewhere("checking evidence")

    async def prune(self, request: "PruneRequest", *, do_it: bool) -> "Pruning":  # noqa: ARG002
        """Refuse. Raises UsageError."""
        raise elsewhere("pruning threads")
