"""Semantic Scholar: citations, references, snippets, recommendations. Requests are rate-limited; long waits fail."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ml_intern.configs.hosts import base_url
from ml_intern.execution.call import ToolError
from ml_intern.net.service import NotFound, Service, TooManyRequests, open_service
from ml_intern.tools.papers.full_text import strip_version

SECONDS_APART = 1.0
"""Minimum seconds between requests, with and without a key."""
MAX_WAIT = 3.0
"""Maximum seconds to wait in the queue; a longer wait is reported to the model as an error."""
FIELDS = "title,year,venue,citationCount,externalIds,abstract"
_CONTEXT = 300
_next_turn: dict[str, float] = {}


@dataclass(frozen=True)
class Scholar:
    """An open client of Semantic Scholar. Lists are texts, one paragraph per paper."""

    service: Service

    async def counts(self, paper: str) -> str:
        """Describe how often a paper was cited, where it appeared, and its one-sentence summary."""
        params = {"fields": "citationCount,influentialCitationCount,venue,year,tldr"}
        found = _mapping(await self._get(f"/graph/v1/paper/{_id(paper)}", params))
        tldr = _mapping(found.get("tldr")).get("text") or ""
        lines = [
            f"cited {found.get('citationCount', 'an unknown number of')} times "
            f"({found.get('influentialCitationCount', '?')} influential); {_place(found)}".rstrip("; "),
            f"summary: {tldr}" if tldr else "",
        ]
        return "\n".join(filter(None, lines))

    async def search(self, query: str, limit: int) -> list[str]:
        """Search papers, the most relevant first."""
        found = _mapping(await self._get("/graph/v1/paper/search", {"query": query, "limit": limit, "fields": FIELDS}))
        return [_paper(_mapping(one)) for one in _list(found.get("data"))]

    async def list_citations(self, paper: str, limit: int) -> list[str]:
        """List the papers that cite this one, with the citing sentences."""
        return await self._list_edges(paper, "citations", "citingPaper", limit)

    async def list_references(self, paper: str, limit: int) -> list[str]:
        """List the papers that this one cites, with the citing sentences."""
        return await self._list_edges(paper, "references", "citedPaper", limit)

    async def snippets(self, query: str, paper: str, limit: int) -> list[str]:
        """Find passages of full texts that match the query, in one paper or in all."""
        params = {"query": query, "limit": limit, **({"paperIds": _id(paper)} if paper else {})}
        found = _mapping(await self._get("/graph/v1/snippet/search", params))
        return [_snippet(_mapping(one)) for one in _list(found.get("data"))]

    async def recommend(self, paper: str, limit: int) -> list[str]:
        """List similar papers."""
        path = f"/recommendations/v1/papers/forpaper/{_id(paper)}"
        found = _mapping(await self._get(path, {"limit": limit, "fields": FIELDS, "from": "all-cs"}))
        return [_paper(_mapping(one)) for one in _list(found.get("recommendedPapers"))]

    async def _list_edges(self, paper: str, edge: str, end: str, limit: int) -> list[str]:
        params = {"limit": limit, "fields": f"contexts,isInfluential,{FIELDS}"}
        found = _mapping(await self._get(f"/graph/v1/paper/{_id(paper)}/{edge}", params))
        edges = sorted(map(_mapping, _list(found.get("data"))), key=lambda one: not one.get("isInfluential"))
        return [_paper(_mapping(one.get(end)), _list(one.get("contexts"))) for one in edges]

    async def _get(self, path: str, params: Mapping[str, Any]) -> Any:
        await _wait_for_turn(self.service.base)
        try:
            return await self.service.get_json(path, params)
        except TooManyRequests as error:
            raise TooManyRequests(f"{error}. {_rate_note()}", error.seconds) from error
        except NotFound as error:
            raise NotFound(
                "Semantic Scholar does not know this paper; read its reference list with papers, operation read"
            ) from error


@asynccontextmanager
async def open_scholar(hosts: Mapping[str, str]) -> AsyncIterator[Scholar]:
    """Open Semantic Scholar, with the key in S2_API_KEY if it is set."""
    key = os.environ.get("S2_API_KEY", "").strip()
    headers = {"x-api-key": key} if key else {}
    async with open_service("Semantic Scholar", base_url(hosts, "semantic_scholar"), headers) as service:
        yield Scholar(service)


async def _wait_for_turn(base: str) -> None:
    """Wait until SECONDS_APART after the previous request. Raises TooManyRequests when the queue is too long."""
    now = time.monotonic()
    turn = max(_next_turn.get(base, 0.0), now)
    if turn - now > MAX_WAIT:
        raise TooManyRequests(
            f"too many requests to Semantic Scholar: this one would wait {turn - now:.0f} s. {_rate_note()}", turn - now
        )
    _next_turn[base] = turn + SECONDS_APART
    await asyncio.sleep(turn - now)


def _rate_note() -> str:
    with_key = "" if os.environ.get("S2_API_KEY") else "; S2_API_KEY gives a separate limit"
    return f"The limit is one request per second{with_key}. Do something else first, then send one request at a time"


def _id(paper: str) -> str:
    return f"ARXIV:{strip_version(paper)}"


def _paper(paper: Mapping[str, Any], contexts: Sequence[Any] = ()) -> str:
    cited = f"cited {paper.get('citationCount', '?')} times"
    lines = [
        f"{paper.get('title') or '(no title)'} ({_name(paper)}; {_place(paper)}{cited})",
        *(f'  "{" ".join(str(context).split())[:_CONTEXT]}"' for context in contexts[:2]),
    ]
    abstract = " ".join(str(paper.get("abstract") or "").split())[:_CONTEXT]
    return "\n".join([*lines, *([f"  {abstract}"] if abstract and not contexts else [])])


def _name(paper: Mapping[str, Any]) -> str:
    """Return the arXiv id if the answer has it. A snippet has only a number of Semantic Scholar, which is not shown."""
    ids = _mapping(paper.get("externalIds"))
    if arxiv := ids.get("ArXiv"):
        return f"arXiv:{arxiv}"
    return "not on arXiv" if ids else "arXiv id not given; search the title for it"


def _place(paper: Mapping[str, Any]) -> str:
    known = [str(paper[name]) for name in ("venue", "year") if paper.get(name)]
    return f"{' '.join(known)}; " if known else ""


def _snippet(found: Mapping[str, Any]) -> str:
    snippet, paper = _mapping(found.get("snippet")), _mapping(found.get("paper"))
    text, section = " ".join(str(snippet.get("text") or "").split()), snippet.get("section") or "text"
    return f"{paper.get('title') or '(no title)'} ({_name(paper)}), {section}:\n  {text[:1_200]}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def citations_unknown(error: ToolError) -> str:
    """Return the note for citations that Semantic Scholar could not provide."""
    return f"(citations unknown: {error})"
