"""The web application: ROUTES in one table, and the handlers of the pages."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ml_intern.configs.errors import UsageError
from ml_intern.server.web.access import Accounts, Policy, SingleUser, WebAccess
from ml_intern.server.web.api import Api
from ml_intern.server.web.assets import Assets
from ml_intern.server.web.callers import caller_of, seen_by
from ml_intern.server.web.numbers import whole_number
from ml_intern.server.web.operations import submit_form
from ml_intern.server.web.pages.layout import PageFrame
from ml_intern.server.web.pages.thread import older_link, render_part, thread_page
from ml_intern.server.web.pages.threads import thread_rows, threads_page
from ml_intern.server.web.panel_handlers import Panels
from ml_intern.server.web.requests import form_of, get, post
from ml_intern.server.web.searches import Searches
from ml_intern.server.web.watching.attachments import LocalSessions, Sessions, ThreadRequest
from ml_intern.server.web.watching.live import partial
from ml_intern.server.web.watching.registry import Registry
from ml_intern.server.web.watching.stream import page_frames
from ml_intern.server.web.watching.watched import SHOWN, WatchedThread

READING = '<p class="notice">Reading the conversation …</p>'


class Pages:
    """The handlers of the pages."""

    def __init__(self, registry: Registry, frame: PageFrame, assets: Assets) -> None:
        self._registry, self._frame, self._assets = registry, frame, assets

    def routes(self, panels: Panels) -> list[Route]:
        """Return the table of routes."""
        return [
            get("/", self.threads),
            get("/rows", self.rows),
            post("/new", self.new),
            get("/t/{id}", self.thread),
            get("/t/{id}/stream", self.stream),
            get("/t/{id}/older", self.older),
            get("/t/{id}/panel/{name}", panels.panel),
            get("/t/{id}/preview", panels.preview),
            get("/t/{id}/export/{format}", panels.export),
            post("/t/{id}/fork", panels.fork),
            get("/settings", panels.settings),
            post("/t/{id}/do", self.do),
            get("/static/{name}", self.static),
            get("/manifest.webmanifest", self.manifest),
        ]

    async def threads(self, request: Request) -> Response:
        """All threads that the user sees."""
        caller = caller_of(request)
        rows = thread_rows(await self._registry.rows(seen_by(caller)), {}, {})
        folders = [] if caller.user else await self._registry.folders()
        return HTMLResponse(threads_page(self._frame, rows, folders, admin=caller.admin, name=caller.signed_in_as))

    async def rows(self, request: Request) -> Response:
        """The list of threads with what they ask and measure."""
        statuses = await self._registry.statuses(seen_by(caller_of(request)))
        asked = {one["row"]["id"]: one["requests"] for one in statuses}
        metrics = {one["row"]["id"]: one["metric"] for one in statuses}
        return HTMLResponse(thread_rows([one["row"] for one in statuses], asked, metrics))

    async def new(self, request: Request) -> Response:
        """Start a thread."""
        form, caller = await form_of(request), caller_of(request)
        if not form.get("text", "").strip():
            raise UsageError("the message is empty", "write what ml-intern should do")
        model, place = (form.get(name, "").strip() for name in ("model", "repository"))
        caller.check_model(model)
        thread = await self._registry.create(
            ThreadRequest(form.get("folder", ""), model, caller.user, place), form["text"]
        )
        return Response(status_code=204, headers={"HX-Redirect": f"/t/{thread.thread_id}"})

    async def thread(self, request: Request) -> Response:
        """One thread."""
        thread, is_open = await self._registry.show(request.path_params["id"])
        thread.flush()
        return HTMLResponse(thread_page(self._frame, thread, "" if is_open else READING))

    async def stream(self, request: Request) -> Response:
        """The frames of a thread's page."""
        place = request.headers.get("last-event-id") or request.query_params.get("after", "")
        return page_frames(await self._thread(request), place)

    async def older(self, request: Request) -> Response:
        """The messages before those that are shown."""
        thread = await self._thread(request)
        before = whole_number(request.query_params.get("before", ""))
        blocks = thread.timeline.before(before or 0, SHOWN)
        first = blocks[0].number if blocks else 0
        html = "".join(block.html() for block in blocks)
        return HTMLResponse(partial("#log", html, "afterbegin") + partial("#older", older_link(thread, first)))

    async def do(self, request: Request) -> Response:
        """Submit a form of a thread's page."""
        thread, form = await self._thread(request), await form_of(request)
        await submit_form(thread, form, caller_of(request), request.headers.get("user-agent", ""))
        return HTMLResponse(partial("#errors", ""))

    async def static(self, request: Request) -> Response:
        """A static file."""
        return self._assets.response(request.path_params["name"])

    async def manifest(self, _: Request) -> Response:
        """The description of the installable page."""
        return self._assets.manifest()

    async def _thread(self, request: Request) -> WatchedThread:
        return await self._registry.get(request.path_params["id"])


def create_app(
    policy: Policy,
    sessions: Sessions | None = None,
    accounts: Accounts | None = None,
    inner: Sequence[Middleware] = (),
) -> Starlette:
    """Return the application, whose registry the server opens. `sessions` run threads, by default on this machine.

    `accounts` know who sent a request, and `inner` handles what they let pass; by default there is one user.
    """
    assets = Assets()
    frame = PageFrame(dict(assets.addresses))
    registry = Registry(sessions or LocalSessions(), render_part)

    routes = [
        *Pages(registry, frame, assets).routes(Panels(registry, frame)),
        *Searches(registry.reader, frame).routes(),
        *Api(registry).routes(),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(WebAccess, policy=policy, accounts=accounts or SingleUser(policy)), *inner],
    )
    app.state.frame, app.state.registry = frame, registry
    return app
