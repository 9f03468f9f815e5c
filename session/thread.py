"""A thread of the database: to read, whoever runs it; or locked by this process, to change without a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.execution.tool import Services
from ml_intern.graph import operations as ops
from ml_intern.graph.context import RunOptions
from ml_intern.models.gateway import Models
from ml_intern.safety.secrets.redaction import redact
from ml_intern.session.approvals import as_asked, waiting_batch
from ml_intern.session.exchange.export import conversation_of, plain_messages
from ml_intern.session.runner import Runner
from ml_intern.session.turns.rewind import Moved, Rewind, UndoPreview
from ml_intern.session.turns.turns import TurnInfo, Turns
from ml_intern.store.ledger import usage_summary
from ml_intern.tools.registry import create_builtin_tools

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from ml_intern.graph.state import PlanStep
    from ml_intern.outbound.conversation import Conversation, Message
    from ml_intern.snapshots.workspace import Snapshots
    from ml_intern.store.ledger import Spending, Totals
    from ml_intern.store.runs import RunRow
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow


async def resting_turns(store: "Store", thread_id: str, folder: str) -> Turns:
    """Return the operations on the turns of a thread: the real graph and tools, and no model."""
    options = RunOptions(model="", workspace=folder or str(Path.cwd()))
    services = Services(Models(store.ledger), create_builtin_tools(), store, options)
    return (await Runner.create(services)).turns(thread_id)


class StoredThread:
    """A thread as its checkpoints and the ledger have it."""

    def __init__(self, turns: Turns, files: "Snapshots") -> None:
        self._turns = turns
        self._files = files

    @property
    def thread_id(self) -> str:
        """Its id."""
        return self._turns.thread_id

    @property
    def _store(self) -> "Store":
        return self._turns.services.store

    @property
    def _rewind(self) -> Rewind:
        return Rewind(self._turns, self._files, self._turns.services)

    async def _value(self, name: str) -> Any:
        return (await self._turns.snapshot()).values.get(name)

    async def row(self) -> "ThreadRow | None":
        """Its row in the list of threads; None before its first turn."""
        return await self._store.threads.get(self.thread_id)

    async def messages(self) -> "list[AnyMessage]":
        """Its messages as LangChain has them."""
        return await self._value("messages") or []

    async def history(self) -> "Sequence[Message]":
        """Its messages, without times."""
        return plain_messages(await self.messages())

    async def plan(self) -> "Sequence[PlanStep]":
        """Its plan."""
        return await self._value("plan") or []

    async def turns(self) -> list[TurnInfo]:
        """The turns that undo can go back to, oldest first."""
        return await self._turns.history()

    async def totals(self) -> "Totals":
        """What the thread and its sub-agents have used."""
        return await self._store.ledger.total(self.thread_id)

    async def spending(self) -> "Sequence[Spending]":
        """The same for each source and model."""
        return await self._store.ledger.by_source(self.thread_id)

    async def usage(self, since: "Sequence[Spending]" = ()) -> Mapping[str, Any]:
        """The usage since an earlier `spending`, as the event `result` has it."""
        return usage_summary(await self.spending(), since)

    async def unfinished_runs(self) -> "Sequence[RunRow]":
        """Its background runs that have not ended."""
        return await self._store.runs.unfinished(self.thread_id)

    async def pending_approval(self) -> Mapping[str, Any] | None:
        """The fields of `approval_required` when it waits for an approval."""
        batch = waiting_batch(await self._turns.snapshot())
        return None if batch is None else as_asked(batch)

    async def preview_undo(self, turns: int = 1, files: ops.Scope = "both") -> UndoPreview:
        """What an undo would do, file by file. Ask between turns. Raises what an undo raises."""
        return await self._rewind.preview(ops.Undo(turns, files))

    async def conversation(self) -> "Conversation":
        """All of it, with times and costs. Raises UsageError before its first turn."""
        return await conversation_of(self._turns, await self._store.threads.find(self.thread_id))


class LockedThread(StoredThread):
    """A thread that no turn runs in and that this process has locked."""

    async def rename(self, title: str) -> None:
        """Give it another title, secrets replaced."""
        await self._store.threads.update(self.thread_id, title=redact(title))

    async def move(self, operation: ops.Undo | ops.Redo) -> Moved:
        """Undo or redo."""
        return await self._rewind.move(operation)
