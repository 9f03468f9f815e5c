"""The handlers of the pages of searches."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ml_intern.configs.errors import UsageError
from ml_intern.search.record import SearchRecord
from ml_intern.search.report import report_of
from ml_intern.server.web.numbers import whole_number
from ml_intern.server.web.pages.layout import PageFrame
from ml_intern.server.web.pages.searches import attempt_page, search_page, search_part, search_rows, searches_page
from ml_intern.server.web.requests import get
from ml_intern.server.web.watching.reader import Reader
from ml_intern.session.wire import codec


class Searches:
    """The handlers."""

    def __init__(self, reader: Reader, frame: PageFrame) -> None:
        self._reader, self._frame = reader, frame

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            get("/searches", self.searches),
            get("/searches/rows", self.rows),
            get("/s/{id}", self.search),
            get("/s/{id}/part", self.part),
            get("/s/{id}/report", self.report),
            get("/s/{id}/{number}", self.attempt),
        ]

    async def searches(self, _: Request) -> Response:
        """All searches."""
        return HTMLResponse(searches_page(self._frame, search_rows(await self._all())))

    async def rows(self, _: Request) -> Response:
        """The list of searches."""
        return HTMLResponse(search_rows(await self._all()))

    async def search(self, request: Request) -> Response:
        """One search."""
        return HTMLResponse(search_page(self._frame, await self._one(request)))

    async def part(self, request: Request) -> Response:
        """The part of a search's page that changes."""
        return HTMLResponse(search_part(await self._one(request)))

    async def report(self, request: Request) -> Response:
        """The report of a search, as a file."""
        search = await self._one(request)
        file = f'attachment; filename="search-{search.search_id}.html"'
        html = report_of(search).html()
        return Response(html, media_type="application/octet-stream", headers={"content-disposition": file})

    async def attempt(self, request: Request) -> Response:
        """One attempt with its change."""
        search, number = await self._one(request), whole_number(request.path_params["number"])
        if number is None or number >= len(search.tree.attempts):
            raise UsageError("there is no such attempt", "reload the page of the search")
        diff = await self._reader.request("search_diff", id=search.search_id, number=number)
        return HTMLResponse(attempt_page(self._frame, search, search.tree[number], diff))

    async def _all(self) -> list[SearchRecord]:
        value = await self._reader.request("searches")
        return list(codec.adapter(list[SearchRecord]).validate_python(value))

    async def _one(self, request: Request) -> SearchRecord:
        value = await self._reader.request("search", id=request.path_params["id"])
        found: SearchRecord = codec.adapter(SearchRecord).validate_python(value)
        return found
