"""Search engines on loopback: two with a key, and the page of one that ddgs reads."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tests.fakes.loopback import Loopback

_HIT = {"title": "LoRA: low-rank adaptation", "url": "https://example.org/lora"}
_PAGE = """<html><body><div class="results"><div class="body"><h2><a>{title}</a></h2>
<a href="{url}">Adapters of low rank are trained instead of the weights.</a></div></div></body></html>"""


class SearchEngines(Loopback):
    """All of them at one address. `key` is the one that the keyed ones accept."""

    key = "good-key"

    def __init__(self) -> None:
        self.down = False
        super().__init__(
            [
                Route("/res/v1/web/search", self._brave),
                Route("/search", self._tavily, methods=["POST"]),
                Route("/{rest:path}", self._page, methods=["GET", "POST"]),
            ]
        )

    async def _brave(self, request: Request) -> Response:
        if request.headers.get("x-subscription-token") != self.key:
            return JSONResponse({"error": "bad key"}, 401)
        return JSONResponse({"web": {"results": [{**_HIT, "description": "Adapters of low rank"}]}})

    async def _tavily(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": "bad key"}, 401)
        asked = await request.json()
        hits = [{**_HIT, "content": "Adapters of low rank"}] if "nothing" not in asked["query"] else []
        return JSONResponse({"results": hits})

    async def _page(self, request: Request) -> Response:
        if self.down:
            return Response("down", 503)
        return HTMLResponse(_PAGE.format(**_HIT))
