"""People: who may do what on a team's server, and the wish to know when somebody may do less than before."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ml_intern.session.team.sharing import grant
from ml_intern.store.team.people.sharing import LEVELS as LEVELS
from ml_intern.store.team.people.sharing import Level as Level
from ml_intern.store.team.people.users import User as User

if TYPE_CHECKING:
    from ml_intern.store.store import Store


class People:
    """The users of a shared database and their access to threads."""

    def __init__(self, store: "Store") -> None:
        self.users = store.users
        self.sharing = store.sharing
        self.audit = store.audit
        self.keys = store.user_keys
        self._watching: set[asyncio.Event] = set()

    async def level(self, thread_id: str, user: User) -> Level | None:
        """Return what a user may do with a thread; None if nothing, or if there is no such thread."""
        if user.admin:
            return "own" if await self.sharing.exists(thread_id) else None
        return await self.sharing.level(thread_id, user.id)

    async def grant(self, thread_id: str, user: str, can: str) -> None:
        """Let a user do what `can` says with a thread: a level, or "nothing". Raises UsageError."""
        await grant(self.users, self.sharing, thread_id, user, can)

    @contextmanager
    def watching(self) -> Iterator[asyncio.Event]:
        """Yield an event that is set when a token, a user or a share was changed or removed."""
        event = asyncio.Event()
        self._watching.add(event)
        try:
            yield event
        finally:
            self._watching.discard(event)

    def changed(self) -> None:
        """Say that something was changed."""
        for event in self._watching:
            event.set()
