"""Semantic Scholar and arXiv on loopback: a few papers that cite each other, with rates and gaps."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tests.fakes.loopback import Loopback
from tests.fakes.website import pdf

KEY = "s2-good-key"
Handler = Callable[[Request], Awaitable[Response]]


def paper(title: str, arxiv: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "year": 2024, "citationCount": 7, "externalIds": {"ArXiv": arxiv}, **more}


LORA, QLORA = paper("LoRA", "2106.09685", venue="ICLR"), paper("QLoRA", "2305.14314", abstract="Four bits.")
SNIPPET_PAPER = {"corpusId": 235458009, "title": "LoRA", "authors": [], "openAccessInfo": {"license": None}}
"""Of a paper, the real service's snippets have no external ids."""


class Scholar(Loopback):
    """Semantic Scholar. With `busy` it answers 429."""

    def __init__(self) -> None:
        self.busy = False
        graph = "/graph/v1/paper/ARXIV:{id}"
        super().__init__(
            [
                Route("/graph/v1/paper/search", self._answer({"data": [LORA, QLORA]})),
                Route("/graph/v1/snippet/search", self._snippets),
                Route(f"{graph}/citations", self._about(self._edges("citingPaper", QLORA))),
                Route(f"{graph}/references", self._about(self._edges("citedPaper", LORA))),
                Route(graph, self._about({**LORA, "influentialCitationCount": 3, "tldr": {"text": "Low rank."}})),
                Route(
                    "/recommendations/v1/papers/forpaper/ARXIV:{id}",
                    self._about({"recommendedPapers": [QLORA]}),
                ),
            ]
        )

    @staticmethod
    def _edges(end: str, other: dict[str, Any]) -> dict[str, Any]:
        plain = {end: paper("A survey", "2401.00001"), "contexts": [], "isInfluential": False}
        return {"data": [plain, {end: other, "contexts": ["we build on\nlow rank"], "isInfluential": True}]}

    def _about(self, body: dict[str, Any]) -> Handler:
        answer = self._answer(body)

        async def known(request: Request) -> Response:
            if request.path_params["id"] == "9999.99999":
                return JSONResponse({"error": "Paper not found"}, 404)
            return await answer(request)

        return known

    def _answer(self, body: dict[str, Any]) -> Handler:
        async def answer(request: Request) -> Response:
            if self.busy:
                return JSONResponse({"message": "Too Many Requests"}, 429, {"retry-after": "40"})
            if request.headers.get("x-api-key", KEY) != KEY:
                return JSONResponse({"message": "Forbidden"}, 403)
            return JSONResponse(body)

        return answer

    async def _snippets(self, request: Request) -> Response:
        found = {"snippet": {"text": "We set alpha to 16.", "section": "Setup"}, "paper": SNIPPET_PAPER}
        return await self._answer({"data": [found]})(request)


class Arxiv(Loopback):
    """arXiv: 2401.00001 is there as HTML, 2401.00002 as PDF only."""

    def __init__(self) -> None:
        super().__init__([Route("/html/{id}", self._html), Route("/pdf/{id}", self._pdf)])

    async def _html(self, request: Request) -> Response:
        if request.path_params["id"] != "2401.00001":
            return Response("No HTML for this paper", 404)
        body = "<p>We train with a batch of 64 sequences, a cosine schedule and 500 steps of warmup on one node.</p>"
        return HTMLResponse(
            f"<html><head><title>A survey</title></head><body><article><h1>A survey</h1><h2>1 Introduction</h2>"
            f"<p>Adapters are small and this sentence fills the section with text.</p><h2>2 Method</h2>{body}"
            f"</article></body></html>"
        )

    async def _pdf(self, request: Request) -> Response:
        if request.path_params["id"] != "2401.00002":
            return Response("No such paper", 404)
        return Response(pdf("The learning rate is 1e-4"), media_type="application/pdf")
