"""RightsGate: lets a request through to its route if the one who sent it may use it, and ends it when that changes."""

import asyncio
from typing import TYPE_CHECKING, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from ml_intern.configs.errors import MLInternError, TemporaryError, UsageError
from ml_intern.server.team.people.accounts import TeamAccounts, TeamCaller
from ml_intern.server.team.people.limits import PostLimits
from ml_intern.server.team.people.rights import ENDLESS, LOGGED, RIGHTS, covers
from ml_intern.server.web.access import SAFE_METHODS, Policy, cookie_of
from ml_intern.server.web.callers import caller_of
from ml_intern.server.web.requests import Forbidden, NotVisible, answer_html, answer_json

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class TooMany(TemporaryError):
    """The user sent too many changes. `seconds`: when the next one is accepted."""

    def __init__(self, seconds: int) -> None:
        super().__init__("you have sent too much within a minute", f"try again in {seconds} s")
        self.seconds = seconds


class RightsGate:
    """Refuses requests to routes and threads that the caller has no right to, as if they did not exist."""

    def __init__(self, app: "ASGIApp", policy: Policy, accounts: TeamAccounts, limits: PostLimits) -> None:
        self._app = app
        self._policy, self._accounts, self._people = policy, accounts, accounts.people
        self._limits = limits

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on one request, or refuse it."""
        request = Request(scope, receive)
        if scope["path"] in self._accounts.login:
            await self._app(scope, receive, send)
            return
        try:
            caller = cast(TeamCaller, caller_of(request))
            route = await self._allowed(request, caller)
            await self._count(request, route, caller)
        except MLInternError as error:
            await _answer(request, error)(scope, receive, send)
            return
        if route.path in ENDLESS:
            await self._while_allowed(request, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _count(self, request: Request, route: Route, caller: TeamCaller) -> None:
        """Log a change. Raises TooMany if its user sends too many."""
        if request.method in SAFE_METHODS:
            return
        if caller.user and (seconds := self._limits.wait(caller.user)):
            raise TooMany(seconds)
        if route.path in LOGGED:
            thread = _route_of(request)[1].get("id", "")
            await self._people.audit.add(caller.name, LOGGED[route.path], thread)

    async def _allowed(self, request: Request, caller: TeamCaller) -> Route:
        """Return the route of a request. Raises NotVisible, Forbidden, and the store's errors."""
        route, parts = _route_of(request)
        method = "GET" if request.method == "HEAD" else request.method
        right = RIGHTS.get((method, route.path))
        if right is None or (right == "admin" and not caller.admin):
            raise _unknown()
        if right != "user" and right != "admin":
            level = await caller.level(parts["id"])
            if not covers(level, right):
                raise Forbidden(f"this thread is shared with you to {level}", "ask its owner for more access")
        return route

    async def _while_allowed(self, request: Request, receive: "Receive", send: "Send") -> None:
        """Answer until the end, or until the caller has no right to it any more."""
        started = False

        async def noted(message: "Message") -> None:
            nonlocal started
            started = True
            await send(message)

        with self._people.watching() as changed:
            answering = asyncio.ensure_future(self._app(request.scope, receive, noted))
            lost = asyncio.ensure_future(self._lost(request, changed))
            try:
                await asyncio.wait({answering, lost}, return_when=asyncio.FIRST_COMPLETED)
                if answering.done():
                    await answering
                elif started:
                    await _end(answering)
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                await _end(answering)
                await _end(lost)

    async def _lost(self, request: Request, changed: asyncio.Event) -> None:
        """Return when the caller has no right to the request any more."""
        while True:
            try:
                caller = await self._caller(request)
                if caller is None:
                    return
                await self._allowed(request, caller)
            except UsageError:
                return
            except MLInternError:  # the database is away; it is announced when it is back
                pass
            await changed.wait()
            changed.clear()

    async def _caller(self, request: Request) -> TeamCaller | None:
        headers = dict(request.scope["headers"])
        by_token = await self._accounts.by_token(headers)
        return by_token or await self._accounts.by_cookie(cookie_of(self._policy, headers))


async def _end(task: "asyncio.Future[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _route_of(request: Request) -> "tuple[Route, dict[str, str]]":
    for route in request.app.routes:
        match, found = route.matches(request.scope)
        if match == Match.FULL and isinstance(route, Route):
            return route, found["path_params"]
    raise _unknown()


def _unknown() -> NotVisible:
    return NotVisible("there is no such page", "the first page lists your threads")


def _answer(request: Request, error: MLInternError) -> Response:
    answer = answer_json if request.url.path.startswith("/api/") else answer_html
    response = answer(request, error)
    if isinstance(error, TooMany):
        response.status_code, response.headers["retry-after"] = 429, str(error.seconds)
    return response
