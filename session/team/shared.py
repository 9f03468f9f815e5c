"""SharedThread: what a session on a shared database does for other machines."""

import asyncio
from typing import TYPE_CHECKING

from ml_intern.configs.errors import MLInternError
from ml_intern.session.team.performer import OperationPerformer
from ml_intern.session.team.recorder import EventRecorder

if TYPE_CHECKING:
    from ml_intern.graph.events import Event
    from ml_intern.session.protocol import Session
    from ml_intern.store.store import Store


class SharedThread:
    """Records the events of a session, and performs the operations that were posted to its thread.

    `lost` is set to the error when the database could not be used. The lock of the thread is gone then.
    """

    def __init__(self, store: "Store") -> None:
        self.lost: asyncio.Future[MLInternError] = asyncio.get_running_loop().create_future()
        self._store = store
        self._recorder = EventRecorder(store, self._lose)
        self._performer: OperationPerformer | None = None
        self.activity = 0
        """The number of events so far."""

    def take(self, event: "Event") -> None:
        """Take an event of the session."""
        self.activity += 1
        self._recorder.take(event)
        if self._performer is not None:
            self._performer.take(event)

    async def start(self, session: "Session") -> None:
        """Perform the operations of the thread of this session, which has locked it. Raises the store's errors."""
        await self._store.operations.count_start(session.thread_id)
        self._performer = OperationPerformer(session, self._store, self._lose)
        self._performer.start()

    def check(self) -> None:
        """Look for operations now."""
        if self._performer is not None:
            self._performer.check()

    @property
    def is_busy(self) -> bool:
        """Whether an operation is being performed."""
        return self._performer is not None and self._performer.is_busy

    async def stop(self) -> None:
        """Perform no more operations."""
        if self._performer is not None:
            await self._performer.close()

    async def close(self) -> None:
        """Save the last events."""
        await self._recorder.close()

    def _lose(self, error: MLInternError) -> None:
        if not self.lost.done():
            self.lost.set_result(error)
