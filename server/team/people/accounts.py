"""TeamAccounts: requests come from users with a token or a cookie, or from the operator with the server's token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ml_intern.server.team.people.rights import check_model, check_operations
from ml_intern.server.token import tokens_in
from ml_intern.server.web.access import Headers, Policy, SingleUser
from ml_intern.server.web.callers import Operations, Operator
from ml_intern.server.web.requests import Forbidden, NotVisible
from ml_intern.session.team.people import Level, People, User

OPERATOR: Final = User("", Operator.name, admin=True)
"""The user with the token of the server itself. Threads do not belong to the operator."""


@dataclass(frozen=True)
class TeamCaller:
    """A user who sent a request, or the operator."""

    account: User
    people: People
    models: tuple[str, ...] = ()
    """Patterns of the models that users may name, see `check_model` in rights.py."""

    @property
    def name(self) -> str:
        """Return the name of the user."""
        return self.account.name

    @property
    def admin(self) -> bool:
        """Return whether the user sees all threads and may do everything."""
        return self.account.admin

    @property
    def user(self) -> str:
        """Return the id of the user; "" for the operator."""
        return self.account.id

    @property
    def signed_in_as(self) -> str:
        """Return the name of the user."""
        return self.account.name

    async def level(self, thread_id: str) -> Level:
        """Return what the user may do with a thread. Raises NotVisible if nothing, or if there is no such thread."""
        level = await self.people.level(thread_id, self.account)
        if level is None:
            raise NotVisible(f"no thread {thread_id[:100]!r}", "the page of all threads lists them")
        return level

    async def check(self, thread_id: str, operations: Operations) -> None:
        """Check that the user may submit operations to a thread, and log it. Raises NotVisible or Forbidden."""
        level = await self.level(thread_id)
        types = ", ".join(str(one.get("type")) for one in operations)
        try:
            check_operations(level, operations)
            for one in operations:
                if one.get("type") == "set_model":
                    self.check_model(str(one.get("model", "")))
        except Forbidden:
            await self.people.audit.add(self.name, "refused", thread_id, types)
            raise
        await self.people.audit.add(self.name, "submit", thread_id, types)

    def check_model(self, model: str) -> None:
        """Check that the user may name a model. Admins may name all. Raises Forbidden."""
        if not self.admin:
            check_model(model, self.models)


class TeamAccounts:
    """The users of the database, and the operator."""

    def __init__(
        self, policy: Policy, people: People, login: Sequence[str] = (), models: tuple[str, ...] = ("*",)
    ) -> None:
        self.login = login
        self._models = models
        self._operator = SingleUser(policy)
        self.people = people

    async def by_token(self, headers: Headers) -> TeamCaller | None:
        """Return the caller whose token is in the headers, or None. Raises the store's errors."""
        if await self._operator.by_token(headers):
            return TeamCaller(OPERATOR, self.people)
        for given in filter(None, tokens_in(headers)):
            if user := await self.people.users.by_token(given, "token"):
                return TeamCaller(user, self.people, self._models)
        return None

    async def by_cookie(self, cookie: str) -> TeamCaller | None:
        """Return the caller whose browser has a cookie, or None. Raises the store's errors."""
        if await self._operator.by_cookie(cookie):
            return TeamCaller(OPERATOR, self.people)
        user = await self.people.users.by_token(cookie, "session")
        return TeamCaller(user, self.people, self._models) if user else None

    async def cookie_for(self, token: str) -> str:
        """Return the cookie of a new session of the user with this token. Raises the store's errors."""
        if cookie := await self._operator.cookie_for(token):
            return cookie
        user = await self.people.users.by_token(token, "token")
        if user is None:
            return ""
        await self.people.audit.add(user.name, "sign in")
        return await self.people.users.open_session(user, token)
