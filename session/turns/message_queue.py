"""The messages of the user that wait for their turn: in order, saved on disk, and reported by the event `queue`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ml_intern.configs.errors import UsageError
from ml_intern.execution.inbox import Steered
from ml_intern.graph.events import Emit
from ml_intern.graph.operations import EditQueued, Unqueue, UserInput
from ml_intern.safety.secrets.redaction import redact
from ml_intern.session.listing import title_of
from ml_intern.session.mentions import InputFiles
from ml_intern.session.protocol import QueuedMessage
from ml_intern.session.turns.turns import user_message
from ml_intern.store.queue import QueuedRow

if TYPE_CHECKING:
    from ml_intern.store.queue import QueuedMessages

NOTHING: Mapping[str, Any] = {"messages": [], "paused": False}
"""The data of the event `queue` for an empty queue."""


class MessageQueue:
    """The queued messages of the session's thread.

    It holds the contents of their table, so that a message is taken only once. A message that was taken returns to
    its place if no checkpoint contains it.
    """

    def __init__(self, table: "QueuedMessages", emit: Emit) -> None:
        self.paused = False
        """Whether no message starts a turn until the user submits or steers one."""
        self._table = table
        self._emit = emit
        self._thread_id = ""
        self._waiting: list[QueuedRow] = []
        self._taken: list[QueuedRow] = []
        self._delivered: list[str] = []
        self._reported = NOTHING

    def open(self, thread_id: str, rows: Sequence[QueuedRow], *, paused: bool) -> None:
        """Switch to the queue of another thread."""
        self._thread_id, self.paused, self._reported = thread_id, paused, NOTHING
        self._waiting, self._taken, self._delivered = list(rows), [], []

    @property
    def ids(self) -> list[str]:
        """Return the ids of the waiting messages in order."""
        return [row.id for row in self._waiting]

    @property
    def has_taken(self) -> bool:
        """Return whether a message was taken that may not be in a checkpoint."""
        return bool(self._taken)

    def message(self, id: str) -> UserInput:
        """Return a waiting message. Raises UsageError."""
        return _message(self._row(id))

    def report(self) -> None:
        """Emit the event `queue` if the queue has changed since the last one."""
        messages = [{"id": one.id, "text": one.text, "steer": one.steer} for one in map(queued_message, self._waiting)]
        current = {"messages": messages, "paused": self.paused and bool(messages)}
        if current != self._reported:
            self._reported = current
            self._emit("queue", **current)

    # --- changes by the user

    async def add(self, message: UserInput, folder: str, *, first: bool) -> None:
        """Save a message, with secrets redacted, as the last or the first one, and end a pause.

        A message that is queued already is not added again.
        """
        self.paused = False
        if message.id in (row.id for row in (*self._waiting, *self._taken)):
            return
        row = QueuedRow(message.id, _body(message))
        title = title_of(row.body["typed"] or row.body["text"])
        position = await self._table.add(self._thread_id, row, folder=folder, title=title, first=first)
        self._put(replace(row, position=position))

    async def change(self, operation: Unqueue | EditQueued) -> None:
        """Remove a message, or replace its contents. Raises UsageError."""
        if isinstance(operation, EditQueued):
            await self._edit(operation)
        else:
            await self._remove(operation.id)
        self.report()

    async def steer(self, id: str, added: InputFiles) -> None:
        """Let the running turn take a message with these files. Raises UsageError."""
        row = self._row(id)
        sources = [*row.body["sources"], *added.sources]
        await self._change(row, steer=True, body={**row.body, "sources": sources, "file_reads": dict(added.reads)})

    def pause(self) -> None:
        """Start no turn until the user submits or steers a message."""
        self.paused = True
        self._waiting = [replace(row, steer=False) for row in self._waiting]

    # --- deliveries

    def take_next(self) -> UserInput:
        """Take the message that starts the next turn: a steered one that no turn has taken, or else the first one."""
        row = next((row for row in self._waiting if row.steer), self._waiting[0])
        return _message(self._take(row))

    def take_steered(self) -> Sequence[Steered]:
        """Take the messages for the running turn, before a model call."""
        self.confirm()  # a checkpoint contains what was taken before an earlier step
        rows = [] if self.paused else [self._take(row) for row in list(self._waiting) if row.steer]
        self.report()
        return [_steered(row) for row in rows]

    def confirm(self, conversation: Collection[str] | None = None) -> None:
        """Confirm that checkpoints contain the taken messages. Put back those whose ids are not in `conversation`."""
        taken, self._taken = self._taken, []
        for row in taken:
            if conversation is None or row.id in conversation:
                self._delivered.append(row.id)
            else:
                self._put(row)

    async def forget_delivered(self) -> None:
        """Remove delivered messages from the table. The default checkpointer has removed them already."""
        delivered, self._delivered = self._delivered, []
        if delivered:
            await self._table.remove(self._thread_id, delivered)

    async def _remove(self, id: str) -> None:
        row = self._row(id)
        self._waiting.remove(row)
        try:
            await self._table.remove(self._thread_id, [id])
        except BaseException:
            self._put(row)
            raise

    async def _edit(self, edit: EditQueued) -> None:
        new = UserInput(edit.text, edit.typed, edit.images, edit.sources, edit.id)
        await self._change(self._row(edit.id), body=_body(new))

    def _take(self, row: QueuedRow) -> QueuedRow:
        self._waiting.remove(row)
        self._taken.append(row)
        return row

    # --- rows

    async def _change(self, row: QueuedRow, **changes: Any) -> None:
        new = replace(row, **changes)
        self._replace(row, new)
        try:
            await self._table.update(self._thread_id, new)
        except BaseException:
            self._replace(new, row)
            raise

    def _replace(self, old: QueuedRow, new: QueuedRow) -> None:
        self._waiting = [new if row is old else row for row in self._waiting]

    def _put(self, row: QueuedRow) -> None:
        self._waiting = sorted([*self._waiting, row], key=lambda one: one.position)

    def _row(self, id: str) -> QueuedRow:
        for row in self._waiting:
            if row.id == id:
                return row
        raise UsageError(f"the message {id} is not queued", "it was sent or removed before")


def queued_message(row: QueuedRow) -> QueuedMessage:
    """Return a queued message as interfaces see it."""
    text, typed = row.body["text"], row.body["typed"]
    return QueuedMessage(row.id, text if typed is None else typed, row.steer, row.created)


def _body(message: UserInput) -> dict[str, Any]:
    """Return a message as JSON, with secrets redacted and without its id."""
    typed = None if message.typed is None else redact(message.typed)
    body = asdict(replace(message, text=redact(message.text), typed=typed))
    del body["id"]
    return body


def _steered(row: QueuedRow) -> Steered:
    message = user_message(_message(row), steered=True)
    return Steered(message, tuple(row.body["sources"]), row.body.get("file_reads", {}))


def _message(row: QueuedRow) -> UserInput:
    images, sources = tuple(row.body["images"]), tuple(row.body["sources"])
    return UserInput(row.body["text"], row.body["typed"], images, sources, row.id)
