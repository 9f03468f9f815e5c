"""OpenSessions: the threads that an editor has open. Each is opened and closed in a task of its own."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ml_intern.session.opening.request import SessionRequest
from ml_intern.session.opening.session import Interface, Opened, open_session


@dataclass
class _Entry:
    """An open thread: its task, and the event that ends it."""

    task: asyncio.Task[None]
    leave: asyncio.Event


class OpenSessions:
    """Opens sessions and closes them. Resources must be released by the task that acquired them."""

    def __init__(self, report: Callable[[str], object]) -> None:
        self._report = report
        self._entries: dict[str, _Entry] = {}

    async def open(self, request: SessionRequest, name: str) -> Opened:
        """Open a new or an existing thread, here or in the process that runs it. Raises MLInternError."""
        opened: asyncio.Future[Opened] = asyncio.get_running_loop().create_future()
        leave = asyncio.Event()
        task = asyncio.create_task(self._hold(request, name, opened, leave))
        found = await opened
        self._entries[found.session.thread_id] = _Entry(task, leave)
        return found

    async def close(self, id: str) -> None:
        """Close a thread. A running turn is interrupted; the thread can be resumed."""
        entry = self._entries.pop(id, None)
        if entry is not None:
            entry.leave.set()
            await asyncio.wait({entry.task})

    async def close_all(self) -> None:
        """Close all threads."""
        await asyncio.gather(*(self.close(id) for id in list(self._entries)))

    async def _hold(
        self, request: SessionRequest, name: str, opened: "asyncio.Future[Opened]", leave: asyncio.Event
    ) -> None:
        try:
            async with open_session(request, Interface(self._report, attach_as=name)) as found:
                opened.set_result(found)
                await leave.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)
