"""OperationPerformer: the session of a thread performs the operations that other machines posted to it."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ml_intern.configs.errors import MLInternError, TemporaryError
from ml_intern.graph import operations as ops
from ml_intern.session.wire.codec import decode_operation, encode_error
from ml_intern.session.wire.host import check_answer
from ml_intern.text.clients import answered_from

if TYPE_CHECKING:
    from ml_intern.graph.events import Event
    from ml_intern.session.protocol import Session
    from ml_intern.store.store import Store
    from ml_intern.store.team.operations import PostedOperation

LOOK_SECONDS = 0.5
"""The time between two looks at the table, unless `check` asks for one."""
ONCE = (ops.Undo, ops.Redo, ops.Compact, ops.RunCommand)
"""Operations that must not be performed twice."""
AT_ONCE = (ops.Unqueue, ops.EditQueued, ops.Steer, ops.SetMode)
"""Operations that are complete when the session has taken them."""
CHOICES = (ops.SetMode, ops.SetModel, ops.SetEffort)
"""Operations that choose an option of the thread, which its next process uses, too."""
TAKEN = ("processing", "queue", "error", "approval_required", "turn_complete")
"""Events after which a message is part of the thread or of its queue."""
REFUSED = (ops.New, ops.Resume, ops.Fork, ops.Shutdown, ops.OfferTools, ops.ToolReply)
"""Operations that belong to one connection."""


class OperationPerformer:
    """Performs the operations of the session's thread in order; an interruption goes first.

    An operation is marked as performed when its effect is on disk. One whose session ended before that is performed
    again by the next session, except for those in ONCE, which are refused then.
    """

    def __init__(self, session: "Session", store: "Store", lost: Callable[[MLInternError], None]) -> None:
        self._session = session
        self._store = store
        self._lost = lost
        self._looking: asyncio.Task[None] | None = None
        self._performing: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._events: asyncio.Queue[Event] | None = None
        self._answered_from = ""

    @property
    def is_busy(self) -> bool:
        """Whether an operation is being performed."""
        return self._performing is not None

    def start(self) -> None:
        """Begin to perform what was posted."""
        self._looking = asyncio.create_task(self._check_regularly())

    def check(self) -> None:
        """Look at the table now."""
        self._wanted.set()

    def take(self, event: "Event") -> None:
        """Take an event of the session."""
        if event.type == "approval_answered":
            self._answered_from = answered_from(event.data["by"], event.data["device"])
        if self._events is not None:
            self._events.put_nowait(event)

    async def close(self) -> None:
        """Perform no more operations."""
        tasks = [task for task in (self._looking, self._performing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _check_regularly(self) -> None:
        while True:
            try:
                await self._check()
            except MLInternError as error:
                self._lost(error)
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()

    async def _check(self) -> None:
        self._store.engine.locks.check()
        found = await self._store.operations.open_of(self._session.thread_id)
        rest = list["PostedOperation"]()
        for posted in found:
            if posted.body.get("type") != "interrupt":
                rest.append(posted)
                continue
            await self._session.submit(ops.Interrupt())
            await self._store.operations.finish(posted.id)
        if rest and self._performing is None:
            self._performing = asyncio.create_task(self._perform(rest[0]))

    async def _perform(self, posted: "PostedOperation") -> None:
        try:
            problem = await self._performed(posted)
            self._store.engine.locks.check()  # without the lock, nothing that was done may count
            await self._store.operations.finish(posted.id, problem)
        except MLInternError as error:
            self._lost(error)
        finally:
            self._performing = None
            self.check()

    async def _performed(self, posted: "PostedOperation") -> dict[str, Any] | None:
        """Perform an operation. Return the error that refused it."""
        try:
            if posted.state == "begun":
                raise TemporaryError("the process that performed this ended", "look at the thread, then repeat it")
            operation = decode_operation(dict(posted.body))
            if isinstance(operation, REFUSED):
                raise TemporaryError("this operation would leave the thread", "use the list of threads")
            if isinstance(operation, ONCE):
                await self._store.operations.begin(posted.id)
            await self._submit(operation)
            if isinstance(operation, CHOICES):
                await self._save_choices()
        except MLInternError as error:
            return encode_error(error)
        return None

    async def _save_choices(self) -> None:
        """Save the options that can be chosen in a session for the next process of the thread."""
        chosen, operations = self._session.options, self._store.operations
        given = await operations.options(self._session.thread_id)
        own = {"approval_mode": chosen.approval_mode, "model": chosen.model, "effort": chosen.effort}
        await operations.serve(self._session.thread_id, {**given, **own})

    async def _submit(self, operation: ops.Operation) -> None:
        """Submit an operation and wait until its effect is on disk."""
        if isinstance(operation, ops.ExecApproval):
            await check_answer(self._session, operation, self._answered_from)
        self._events = asyncio.Queue()
        try:
            await self._session.submit(operation)
            if isinstance(operation, ops.UserInput):
                await self._first_of(self._seen(TAKEN))
            elif isinstance(operation, ops.ExecApproval):
                await self._first_of(self._answer_used())
            elif not isinstance(operation, AT_ONCE):
                await self._session.idle()
        finally:
            self._events = None

    async def _first_of(self, seen: Any) -> None:
        """Wait for events, or until the session has nothing to do."""
        tasks = [asyncio.ensure_future(one) for one in (seen, self._session.idle())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _seen(self, types: Sequence[str]) -> None:
        while self._events is not None and (await self._events.get()).type not in types:
            pass

    async def _answer_used(self) -> None:
        """Wait for an event after the answer, which only comes when a checkpoint contains the answer."""
        await self._seen(("approval_answered", "error"))
        if self._events is not None:
            await self._events.get()
