"""The users of a test: each with a token and an HTTP client."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from ml_intern.store.store import Store
from ml_intern.store.team.people.sharing import Level
from ml_intern.store.team.people.users import ID_LENGTH, User, digest_of
from tests.server.team.conftest import TeamServer
from tests.server.web.conftest import SECONDS

T = TypeVar("T")


@dataclass(frozen=True)
class Person:
    """A user, the token and a client that sends it."""

    user: User
    token: str
    client: httpx.Client


class Crowd:
    """The users of a server."""

    def __init__(self, team: TeamServer) -> None:
        self.team = team
        self._clients: list[httpx.Client] = []

    def do(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """Change the database as a command would."""

        async def run() -> T:
            async with await Store.open(Path(self.team.root / "home"), url=self.team.database) as store:
                return await work(store)

        return asyncio.run(run())

    def add(self, name: str, *, admin: bool = False) -> Person:
        async def add(store: Store) -> tuple[User, str]:
            user = await store.users.add(name, admin=admin)
            return user, await store.users.add_token(user)

        user, token = self.do(add)
        return Person(user, token, self.client(token))

    def client(self, token: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._clients.append(httpx.Client(base_url=self.team.url, headers=headers, trust_env=False, timeout=SECONDS))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def share(self, thread: str, person: Person, level: Level | None) -> None:
        self.do(lambda store: store.sharing.share(thread, person.user.id, level))

    def revoke(self, person: Person) -> None:
        self.do(lambda store: store.users.revoke(digest_of(person.token)[:ID_LENGTH]))

    def remove(self, person: Person) -> None:
        self.do(lambda store: store.users.remove(person.user.name))

    def start(self, person: Person, *steps: dict[str, object], text: str = "go") -> str:
        """Start a thread of a user, which a worker takes, and return its id."""
        body = {"text": text, "folder": "", "model": self.team.script(*steps)}
        reply = person.client.post("/api/threads", json=body)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])
