"""A stored thread: for reading, or locked by this process and changed without a model."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ml_intern.evidence.card import evidence_card
from ml_intern.execution.calls import silent, tool_context
from ml_intern.execution.tool import Services
from ml_intern.graph import operations as ops
from ml_intern.graph.context import RunOptions
from ml_intern.graph.state import AgentState
from ml_intern.models.gateway import Models
from ml_intern.safety.error_log import log_error
from ml_intern.safety.secrets.redaction import redact
from ml_intern.session.approvals import approval_fields, pending_batch, permission_info
from ml_intern.session.exchange.export import conversation_of, plain_messages
from ml_intern.session.listing import STATES, ThreadListing
from ml_intern.session.runner import Runner
from ml_intern.session.turns.message_queue import queued_message
from ml_intern.session.turns.rewind import Rewind, RewindResult, UndoPreview
from ml_intern.session.turns.turns import TurnInfo, Turns
from ml_intern.store.ledger import usage_summary
from ml_intern.tools.registry import create_builtin_tools

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage
    from langgraph.types import StateSnapshot

    from ml_intern.graph.state import PlanStep
    from ml_intern.outbound.conversation import Conversation, Message
    from ml_intern.session.protocol import PermissionInfo, QueuedMessage
    from ml_intern.snapshots.workspace import Snapshots
    from ml_intern.store.ledger import Spending, Totals
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow


async def idle_turns(store: "Store", thread_id: str, folder: str) -> Turns:
    """Return the operations on the turns of a thread, with the real graph and tools but no model."""
    options = RunOptions(model="", workspace=folder or str(Path.cwd()))
    services = Services(Models(store.ledger), create_builtin_tools(), store, options)
    return (await Runner.create(services)).turns(thread_id)


class StoredThread:
    """Read access to a thread, from its checkpoints and the ledger."""

    def __init__(self, turns: Turns, files: "Snapshots") -> None:
        self.options = turns.services.defaults
        self._turns = turns
        self._files = files

    @property
    def thread_id(self) -> str:
        """The id of the thread."""
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
        """Return its row in the list of threads; None before the first turn."""
        return await self._store.threads.get(self.thread_id)

    async def messages(self) -> "list[AnyMessage]":
        """Return its messages as LangChain messages."""
        return await self._value("messages") or []

    async def history(self) -> "Sequence[Message]":
        """Return its messages, without times."""
        return plain_messages(await self.messages())

    async def queue(self) -> "Sequence[QueuedMessage]":
        """Return the messages that wait for their turn, in order."""
        return [queued_message(row) for row in await self._store.queue.list(self.thread_id)]

    async def plan(self) -> "Sequence[PlanStep]":
        """Return its plan."""
        return await self._value("plan") or []

    async def turns(self) -> list[TurnInfo]:
        """Return the turns that can be undone, oldest first."""
        return await self._turns.history()

    async def totals(self) -> "Totals":
        """Return the usage of the thread and its sub-agents."""
        return await self._store.ledger.total(self.thread_id)

    async def spending(self) -> "Sequence[Spending]":
        """Return the usage by source and model."""
        return await self._store.ledger.by_source(self.thread_id)

    async def usage(self, since: "Sequence[Spending]" = ()) -> Mapping[str, Any]:
        """Return the usage since an earlier `spending`, in the form of the event `result`."""
        return usage_summary(await self.spending(), since)

    async def pending_approval(self) -> Mapping[str, Any] | None:
        """Return the fields of `approval_required`; None if no approval is pending."""
        batch = pending_batch(await self._turns.snapshot())
        return None if batch is None else approval_fields(batch)

    async def preview_undo(self, operation: ops.Undo) -> UndoPreview:
        """Return the effect of an undo, file by file. Call it only between turns. Raises the errors of an undo."""
        return await self._rewind.preview(operation)

    async def conversation(self) -> "Conversation":
        """Return the whole conversation with times and costs. Raises UsageError before the first turn."""
        return await conversation_of(self._turns, await self._store.threads.find(self.thread_id))

    async def evidence(self) -> Mapping[str, Any]:
        """Return the evidence card: answers with their claims, locks, what ran, and what is incomplete."""
        state = cast(AgentState, (await self._turns.snapshot()).values)
        return await evidence_card(tool_context(state, self.thread_id, self.options, self._turns.services, silent))

    async def _reached(self) -> tuple[int, int]:
        """Return the number of the turn that failed and its model calls; zeros if none began or it cannot be read."""
        try:
            values = (await self._turns.snapshot()).values
        except Exception as error:  # noqa: BLE001 the database may be what failed
            log_error(self._store.home, self.thread_id, error)
            return 0, 0
        return (0, 0) if values.get("outcome") else (int(values.get("turn", 0)), int(values.get("iteration", 0)))


class LockedThread(StoredThread):
    """A thread locked by this process. Call its methods only between turns."""

    @property
    def _listing(self) -> ThreadListing:
        return ThreadListing(self._turns, self.options.workspace)

    async def permissions(self) -> "PermissionInfo":
        """Return the permission rules and saved answers that apply here."""
        answers = await self._store.permissions.in_force(self.options.workspace, self.thread_id)
        return permission_info(self.options.permissions, answers)

    async def remove_permission(self, number: int) -> bool:
        """Remove a saved "always" answer. Return False if it does not exist."""
        return await self._store.permissions.remove(number)

    async def rename(self, title: str) -> None:
        """Change the title. Secrets in it are redacted."""
        await self._listing.change(title=redact(title.strip()))

    async def move(self, operation: ops.Undo | ops.Redo) -> RewindResult:
        """Undo or redo."""
        return await self._rewind.move(operation)

    async def begin_turn(self, message: ops.UserInput, on_disk: Callable[[int], None] | None = None) -> None:
        """Write a message as the input of a new turn, and take a snapshot of the files.

        `on_disk` is called with the number of the turn as soon as the message is saved.
        """
        files = self._files.begin(self.thread_id)
        await self._listing.begin_turn(message, self.options, files, on_disk=on_disk)

    def resume_snapshot(self, head: "StateSnapshot") -> None:
        """Take the snapshot of the turn at `head`, if its process died before taking it."""
        tools_ran = head.values.get("iteration", 0) > 1
        self._files.resume(head.values.get("turn_files", ""), self.thread_id, tools_ran=tools_ran)

    async def continue_snapshots(self) -> None:
        """Start taking a snapshot of the files before the current turn continues."""
        self._files.continue_turn(await self._value("turn_files") or "", self.thread_id)

    async def end_snapshots(self) -> None:
        """Take a snapshot of the files where the current turn ends or waits, so that later changes are the user's."""
        await self._files.end_turn()

    async def list_running(self) -> None:
        """Mark the thread as running in the list of threads."""
        await self._listing.change(state="running")

    async def list_as(self, status: str) -> None:
        """Update the list of threads after a turn that ended with this status. Raises DatabaseUnusable for damage."""
        await self._listing.renew(STATES.get(status, "idle"))
        await self._store.database.check()
