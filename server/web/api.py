"""The wire over HTTP: operations with ids, events by number, and what can be read, as JSON."""

import asyncio
from collections import OrderedDict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_intern.configs.errors import UsageError
from ml_intern.server.web.callers import caller_of, seen_by
from ml_intern.server.web.devices import with_device
from ml_intern.server.web.numbers import whole_number
from ml_intern.server.web.operations import turns_of
from ml_intern.server.web.requests import Handler, answer_json, get, json_body, post, text_field
from ml_intern.server.web.watching.attachments import ThreadRequest
from ml_intern.server.web.watching.registry import Registry
from ml_intern.server.web.watching.stream import thread_events
from ml_intern.session.wire import codec

READS = (
    "row", "history", "plan", "turns", "queue", "totals", "spending", "pending_approval", "conversation", "evidence",
)  # fmt: skip
"""The requests of the wire that can be read over HTTP; each takes no arguments."""
ELSEWHERE = ("new", "resume", "fork", "shutdown")
"""Operations by which a session would leave its thread. POST /api/threads starts one, POST .../fork copies one."""
MAX_ANSWERED = 1_000
MAX_ID = 200
"""Length of the id of an operation."""
WIRE_HEADER = "x-wire"


class Api:
    """The handlers of the wire over HTTP."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._answered: OrderedDict[tuple[str, str], asyncio.Task[None]] = OrderedDict()

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        thread = "/api/threads/{id}"
        return [
            _get("/api/me", self.me),
            _get("/api/threads", self.threads),
            _post("/api/threads", self.create),
            _get("/api/openapi.json", self.openapi),
            *(_get(f"{thread}/{name}", self._read(name)) for name in READS),
            _get(f"{thread}/runs", self.runs),
            _get(f"{thread}/preview_undo", self.preview_undo),
            _get(f"{thread}/export/{{format}}", self.export),
            _get(f"{thread}/state", self.state),
            _get(f"{thread}/events", self.events),
            _post(f"{thread}/operations", self.submit),
            _post(f"{thread}/fork", self.fork),
        ]

    async def me(self, request: Request) -> Response:
        """Return who sent the request: {"name", "admin"}."""
        caller = caller_of(request)
        return JSONResponse({"name": caller.name, "admin": caller.admin})

    async def threads(self, request: Request) -> Response:
        """Return all threads that the user sees, with what they ask and measure."""
        return JSONResponse(await self._registry.statuses(seen_by(caller_of(request))))

    async def create(self, request: Request) -> Response:
        """Start a thread: {"folder", "text", "model", "repository", "id" of the message}. Return its id."""
        body, caller = await json_body(request), caller_of(request)
        folder, text, model, place = (text_field(body, name) for name in ("folder", "text", "model", "repository"))
        caller.check_model(model)
        wanted = ThreadRequest(folder, model, caller.user, place.strip(), text_field(body, "id")[:MAX_ID])
        thread = await self._registry.create(wanted, text)
        return JSONResponse({"id": thread.thread_id}, 201)

    async def openapi(self, _: Request) -> Response:
        """Return the description of these routes."""
        return JSONResponse(await self._registry.reader.request("openapi"))

    async def runs(self, request: Request) -> Response:
        """Return the background runs of a thread with the points of their metrics."""
        thread = await self._registry.get(request.path_params["id"])
        return JSONResponse(await self._registry.reader.request("runs", thread=thread.thread_id))

    async def preview_undo(self, request: Request) -> Response:
        """Return the effect of an undo of `turns` turns."""
        thread = await self._registry.get(request.path_params["id"])
        preview = await self._registry.reader.get(
            thread.thread_id, "preview_undo", turns=turns_of(request.query_params)
        )
        return JSONResponse(preview)

    async def export(self, request: Request) -> Response:
        """Return a thread in an export format."""
        thread, name = await self._registry.get(request.path_params["id"]), request.path_params["format"]
        return JSONResponse({"text": await self._registry.export(thread.thread_id, name)})

    async def state(self, request: Request) -> Response:
        """Return the events that describe the current state: {"seq", "events", "ending"}."""
        thread = await self._registry.get(request.path_params["id"])
        return JSONResponse(await thread.described())

    async def events(self, request: Request) -> Response:
        """Return the events after a number as server-sent events; without one, from now on."""
        thread = await self._registry.get(request.path_params["id"])
        given = request.headers.get("last-event-id") or request.query_params.get("after", "")
        after = whole_number(given)
        if given and after is None:
            raise UsageError("after is not a number", "give the number of the last event that you have")
        return thread_events(thread, after)

    async def submit(self, request: Request) -> Response:
        """Submit an operation: {"id", "do": {"type", ...}}. The same id is performed once and answered again."""
        thread_id, body = request.path_params["id"], await json_body(request)
        id, operation = text_field(body, "id"), body.get("do")
        if not 0 < len(id) <= MAX_ID:
            raise UsageError(f"an operation needs an id of at most {MAX_ID} characters", "use a new one for each")
        codec.decode_operation(operation)
        if not isinstance(operation, dict) or operation["type"] in ELSEWHERE:
            raise UsageError("this operation would leave the thread", "use POST /api/threads or .../fork")
        await caller_of(request).check(thread_id, [operation])
        operation = with_device(operation, request.headers.get("user-agent", ""))
        if self._registry.remembers:
            await self._registry.submit(thread_id, operation, id)
        else:
            await self._submit_once(thread_id, operation, id)
        return JSONResponse({"id": id, "ok": True})

    async def _submit_once(self, thread_id: str, operation: dict[str, Any], id: str) -> None:
        """Submit an operation, or wait for the answer to an earlier one with its id."""
        key = (thread_id, id)
        if key not in self._answered:
            self._answered[key] = asyncio.create_task(self._registry.submit(thread_id, operation, id))
            while len(self._answered) > MAX_ANSWERED:
                self._answered.popitem(last=False)
        await asyncio.shield(self._answered[key])

    async def fork(self, request: Request) -> Response:
        """Copy a thread up to the end of a turn: {"turn"}; null copies all. Return the id of the copy."""
        thread, body = await self._registry.get(request.path_params["id"]), await json_body(request)
        turn = body.get("turn")
        if turn is not None and (not isinstance(turn, int) or isinstance(turn, bool)):
            raise UsageError("turn is not a number", "give the number of a turn, or null")
        id = await self._registry.reader.request("fork", thread=thread.thread_id, turn=turn)
        return JSONResponse({"id": id}, 201)

    def _read(self, name: str) -> Handler:
        async def read(request: Request) -> Response:
            thread = await self._registry.get(request.path_params["id"])
            return JSONResponse(await self._registry.reader.get(thread.thread_id, name))

        return read


def _get(path: str, handler: Handler) -> Route:
    return get(path, _spoken(handler), answer_json)


def _post(path: str, handler: Handler) -> Route:
    return post(path, _spoken(handler), answer_json)


def _spoken(handler: Handler) -> Handler:
    """Refuse a client of another version of the format, and tell the version to every client."""

    async def spoken(request: Request) -> Response:
        wire = request.headers.get(WIRE_HEADER, str(codec.WIRE))
        if wire != str(codec.WIRE):
            problem = f"this server speaks version {codec.WIRE} of the format, the client version {wire[:20]}"
            raise WireVersion(problem, "use the same version of ml-intern on both sides")
        response = await handler(request)
        response.headers[WIRE_HEADER] = str(codec.WIRE)
        return response

    return spoken


class WireVersion(UsageError):
    """The client speaks another version of the format."""
