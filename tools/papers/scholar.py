"""Semantic Scholar: citations both ways, snippets, recommendations. Its rate is kept, and told instead of slept."""

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
from ml_intern.tools.papers.full_text import versionless

SECONDS_APART = 1.0
"""Between requests, with a key as without one."""
MAX_WAIT = 3.0
"""Seconds that are waited for one's turn; a longer queue is told to the model."""
FIELDS = "title,year,venue,citationCount,externalIds,abstract"
_CONTEXT = 300
_next_turn: dict[str, float] = {}


@dataclass(frozen=True)
class Scholar:
    """The service, open. Lists come as text, one paper a paragraph."""

    service: Service

    async def counts(self, paper: str) -> str:
        """How often a paper was cited, where it appeared, and its summary in a sentence."""
        asked = {"fields": "citationCount,influentialCitationCount,venue,year,tldr"}
        found = _mapping(await self._get(f"/graph/v1/paper/{_id(paper)}", asked))
        tldr = _mapping(found.get("tldr")).get("text") or ""
        lines = [
            f"cited {found.get('citationCount', 'an unknown number of')} times "
            f"({found.get('influentialCitationCount', '?')} influential); {_place(found)}".rstrip("; "),
            f"in a sentence: {tldr}" if tldr else "",
        ]
        return "\n".join(filter(None, lines))

    async def search(self, query: str, limit: int) -> list[str]:
        """Papers about the query, the most relevant first."""
        found = _mapping(await self._get("/graph/v1/paper/search", {"query": query, "limit": limit, "fields": FIELDS}))
        return [_paper(_mapping(one)) for one in _list(found.get("data"))]

    async def citing(self, paper: str, limit: int) -> list[str]:
        """Papers that cite this one, with the sentence they do it in."""
        return await self._cited(paper, "citations", "citingPaper", limit)

    async def cited_by(self, paper: str, limit: int) -> list[str]:
        """Papers that this one cites, with the sentence it does it in."""
        return await self._cited(paper, "references", "citedPaper", limit)

    async def snippets(self, query: str, paper: str, limit: int) -> list[str]:
        """Passages of full texts that fit the query; of one paper, or of all."""
        asked = {"query": query, "limit": limit, **({"paperIds": _id(paper)} if paper else {})}
        found = _mapping(await self._get("/graph/v1/snippet/search", asked))
        return [_snippet(_mapping(one)) for one in _list(found.get("data"))]

    async def recommended(self, paper: str, limit: int) -> list[str]:
        """Papers like this one."""
        path = f"/recommendations/v1/papers/forpaper/{_id(paper)}"
        found = _mapping(await self._get(path, {"limit": limit, "fields": FIELDS, "from": "all-cs"}))
        return [_paper(_mapping(one)) for one in _list(found.get("recommendedPapers"))]

    async def _cited(self, paper: str, edge: str, end: str, limit: int) -> list[str]:
        asked = {"limit": limit, "fields": f"contexts,isInfluential,{FIELDS}"}
        found = _mapping(await self._get(f"/graph/v1/paper/{_id(paper)}/{edge}", asked))
        edges = sorted(map(_mapping, _list(found.get("data"))), key=lambda one: not one.get("isInfluential"))
        return [_paper(_mapping(one.get(end)), _list(one.get("contexts"))) for one in edges]

    async def _get(self, path: str, params: Mapping[str, Any]) -> Any:
        await _turn(self.service.base)
        try:
            return await self.service.get_json(path, params)
        except TooManyRequests as fault:
            raise TooManyRequests(f"{fault}. {_rate()}", fault.seconds) from fault
        except NotFound as fault:
            raise NotFound("Semantic Scholar does not know this paper; papers read shows its own references") from fault


@asynccontextmanager
async def open_scholar(hosts: Mapping[str, str]) -> AsyncIterator[Scholar]:
    """Semantic Scholar, with the key S2_API_KEY when it is set."""
    key = os.environ.get("S2_API_KEY", "").strip()
    headers = {"x-api-key": key} if key else {}
    async with open_service("Semantic Scholar", base_url(hosts, "semantic_scholar"), headers) as service:
        yield Scholar(service)


async def _turn(base: str) -> None:
    """Wait for one's turn, SECONDS_APART after the request before. Raises TooManyRequests when the queue is long."""
    now = time.monotonic()
    mine = max(_next_turn.get(base, 0.0), now)
    if mine - now > MAX_WAIT:
        raise TooManyRequests(
            f"{(mine - now):.0f} requests to Semantic Scholar are waiting already. {_rate()}", mine - now
        )
    _next_turn[base] = mine + SECONDS_APART
    await asyncio.sleep(mine - now)


def _rate() -> str:
    with_key = "" if os.environ.get("S2_API_KEY") else "; with S2_API_KEY the limit is one's own"
    return f"It takes one request a second{with_key}. Do something else, then ask one at a time"


def _id(paper: str) -> str:
    return f"ARXIV:{versionless(paper)}"


def _paper(paper: Mapping[str, Any], contexts: Sequence[Any] = ()) -> str:
    arxiv = _mapping(paper.get("externalIds")).get("ArXiv")
    name = f"arXiv:{arxiv}" if arxiv else "not on arXiv"
    lines = [
        f"{paper.get('title') or '(no title)'} ({name}; {_place(paper)}cited {paper.get('citationCount', '?')} times)",
        *(f'  "{" ".join(str(context).split())[:_CONTEXT]}"' for context in contexts[:2]),
    ]
    abstract = " ".join(str(paper.get("abstract") or "").split())[:_CONTEXT]
    return "\n".join([*lines, *([f"  {abstract}"] if abstract and not contexts else [])])


def _place(paper: Mapping[str, Any]) -> str:
    known = [str(paper[name]) for name in ("venue", "year") if paper.get(name)]
    return f"{' '.join(known)}; " if known else ""


def _snippet(found: Mapping[str, Any]) -> str:
    snippet, paper = _mapping(found.get("snippet")), _mapping(found.get("paper"))
    arxiv = _mapping(paper.get("externalIds")).get("ArXiv") or paper.get("corpusId", "?")
    text = " ".join(str(snippet.get("text") or "").split())
    return f"{paper.get('title') or '(no title)'} ({arxiv}), {snippet.get('section') or 'text'}:\n  {text[:1_200]}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def no_answer(fault: ToolError) -> str:
    """A note for a part of a result that Semantic Scholar did not give."""
    return f"(citations unknown: {fault})"
