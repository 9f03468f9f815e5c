"""Deliver the queued messages: each waiting message gets one operation, which starts its turn."""

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from ml_intern.graph.operations import Deliver, UserInput
from ml_intern.session.mentions import InputFiles
from ml_intern.session.turns.message_queue import MessageQueue

if TYPE_CHECKING:
    from ml_intern.store.queue import QueuedMessages


DeliveredIds = Callable[[], Awaitable[Collection[str]]]
"""Returns the ids of the messages in the conversation."""


class Deliveries:
    """The queue of the session's thread, and which of its messages have an operation that delivers them."""

    def __init__(self, queue: MessageQueue, submit: Callable[[Deliver], None]) -> None:
        self._queue = queue
        self._submit = submit
        self._scheduled: set[str] = set()

    async def add(self, message: UserInput, folder: str, *, supersedes: bool, busy: Callable[[], bool]) -> None:
        """Queue a message and schedule it. One that `supersedes` the pending approval goes first."""
        await self._queue.add(message, folder, first=supersedes)
        if busy():
            self._queue.report()
        self.schedule(message.id if supersedes else "")

    async def steer(self, id: str, added: InputFiles, *, running: Callable[[], bool]) -> None:
        """Let the running turn take a message. If no turn takes it, the message starts the next one."""
        await self._queue.steer(id, added)
        if not running() or self._queue.paused:
            self._queue.paused = False
            self._scheduled.discard(id)
            self.schedule(id)
        self._queue.report()

    def schedule(self, superseding: str = "") -> None:
        """Submit the operations that deliver the waiting messages, in order."""
        for id in self._queue.ids:
            if id not in self._scheduled:
                self._scheduled.add(id)
                self._submit(Deliver(id, supersedes=id == superseding))

    async def take(self, op: Deliver, delivered: DeliveredIds, *, waits: bool) -> UserInput | None:
        """Take the message that starts a turn now, or return None. `waits`: an approval is pending.

        A message that is in the conversation was submitted again, and starts no turn.
        """
        self._scheduled.discard(op.id)
        may_start = op.supersedes or not (self._queue.paused or waits)
        if op.id not in self._queue.ids or not may_start:
            return None
        message = self._queue.take_next()
        return None if message.id in await delivered() else message

    async def end(self, delivered: DeliveredIds) -> None:
        """Put back the messages that a turn took and did not save, and remove the others from the table."""
        if self._queue.has_taken:
            self._queue.confirm(await delivered())
        await self._queue.forget_delivered()

    async def move(self, table: "QueuedMessages", old: str, new: str, folder: str) -> None:
        """Move the messages that were submitted after the operation that switches to another thread."""
        if self._scheduled:
            await table.move(self._scheduled, old, new, folder=folder)
