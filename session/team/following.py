"""TeamThreads: the threads of a shared database for a server, which posts operations to them and follows them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ml_intern.configs.errors import MLInternError
from ml_intern.configs.paths import database_url
from ml_intern.graph.events import Event
from ml_intern.session.opening.store import open_store
from ml_intern.session.team.people import People
from ml_intern.session.team.workspaces import make_workspace
from ml_intern.session.wire.codec import decode_error, encode_event
from ml_intern.session.wire.current import CurrentState
from ml_intern.session.wire.link import Line

if TYPE_CHECKING:
    from ml_intern.store.store import Store

STATE_EVENTS = 500
"""The latest events of a thread, from which its state is read."""
ANSWER_SECONDS = 10.0
"""The time for which a posted operation is waited for. It is performed later, too."""
Take = Callable[[Line], None]


class TeamThreads:
    """Posts operations, and follows threads that any machine runs. Use `open_team_threads`."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._followers: dict[str, set[Follower]] = {}
        self.people = People(store)
        self._performed: dict[str, set[asyncio.Event]] = {}
        """For each thread, those who wait for an operation."""

    async def create(self, folder: str, options: Mapping[str, Any], user: str = "") -> str:
        """Create a thread that sessions with these options run. Return its id.

        The thread of a user has a folder of its own instead of `folder`. Raises TemporaryError if it cannot be made.
        """
        id = str(uuid4())
        folder = str(await asyncio.to_thread(make_workspace, id)) if user else folder
        row = await self._store.threads.create(id=id, folder=folder)
        if user:
            await self._store.sharing.own(row.id, user)
        await self._store.operations.serve(row.id, options)
        return row.id

    async def is_running(self, thread_id: str) -> bool:
        """Return whether a session has the thread open."""
        return await self._store.is_held(thread_id)

    async def post(self, thread_id: str, operation: Mapping[str, Any], id: str, author: str = "") -> bool:
        """Post an operation, and return whether it was performed within ANSWER_SECONDS. Raises its error."""
        changed = asyncio.Event()
        waiting = self._performed.setdefault(thread_id, set())
        waiting.add(changed)
        try:
            await self._store.operations.post(thread_id, id, operation, author)
            async with asyncio.timeout(ANSWER_SECONDS):
                while not await self._is_performed(id):
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            return False
        finally:
            waiting.discard(changed)
            if not waiting:
                self._performed.pop(thread_id, None)
        return True

    @asynccontextmanager
    async def follow(self, thread_id: str, take: Take) -> "AsyncIterator[Follower]":
        """Follow a thread: `take` gets its events as lines of the wire."""
        follower = Follower(self._store, thread_id, take)
        self._followers.setdefault(thread_id, set()).add(follower)
        try:
            yield follower
        finally:
            await follower.close()
            self._followers[thread_id].discard(follower)
            if not self._followers[thread_id]:
                del self._followers[thread_id]

    async def metrics(self) -> str:
        """Return the figures of the database in Prometheus' format. Raises the store's errors."""
        from ml_intern.store.team.measures import prometheus_text, team_measures
        from ml_intern.store.team.operations import MAX_STARTS

        return prometheus_text(await team_measures(self._store.database, MAX_STARTS))

    async def listen(self) -> None:
        """Pass on what is announced, until this is cancelled."""
        from ml_intern.store.postgres.listening import EVENTS, OPERATIONS, PEOPLE, announcements
        from ml_intern.store.team.events import LIVE

        async for one in announcements(database_url(), [EVENTS, OPERATIONS, PEOPLE, LIVE]):
            if one.channel == LIVE:
                event = json.loads(one.text)
                for follower in self._followers.get(event["thread_id"], ()):
                    follower.show(event)
            elif one.channel == PEOPLE:
                self.people.changed()
            elif one.channel:
                self._wake(one.text, events=one.channel != OPERATIONS)
            else:
                self.people.changed()
                for thread_id in [*self._followers, *self._performed]:
                    self._wake(thread_id, events=True)

    def _wake(self, thread_id: str, *, events: bool) -> None:
        for changed in self._performed.get(thread_id, ()):
            changed.set()
        if events:
            for follower in self._followers.get(thread_id, ()):
                follower.read_on()

    async def _is_performed(self, id: str) -> bool:
        posted = await self._store.operations.get(id)
        if posted is not None and posted.state == "refused":
            raise decode_error(dict(posted.problem))
        return posted is None or posted.state == "done"


class Follower:
    """Reads the events of a thread as they are stored."""

    def __init__(self, store: "Store", thread_id: str, take: Take) -> None:
        self.seq = 0
        self._store = store
        self._thread_id = thread_id
        self._take = take
        self._wanted = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Pass on the events that describe the current state, and then all later ones. Return the last number."""
        current = CurrentState()
        for seq, body in await self._store.events.latest(self._thread_id, STATE_EVENTS):
            current.take(Event(**json.loads(body)))
            self.seq = seq
        for event in current.events():
            self._take({"event": encode_event(event), "state": True})
        self._reading = asyncio.create_task(self._read())
        return self.seq

    def read_on(self) -> None:
        """Read what was added."""
        self._wanted.set()

    def show(self, event: Line) -> None:
        """Pass on an event that is not stored."""
        if event["seq"] > self.seq:
            self._take({"event": event})

    async def close(self) -> None:
        """Stop following."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            with suppress(MLInternError):  # the database is away; the next announcement comes when it is back
                while found := await self._store.events.after(self._thread_id, self.seq):
                    for seq, body in found:
                        self.seq = seq
                        self._take({"event": json.loads(body)})
            await self._wanted.wait()
            self._wanted.clear()


@asynccontextmanager
async def open_team_threads() -> AsyncIterator[TeamThreads]:
    """Open the threads of the database in the environment, and listen to them."""
    async with open_store() as store:
        threads = TeamThreads(store)
        listening = asyncio.create_task(threads.listen())
        try:
            yield threads
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
