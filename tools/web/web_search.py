"""The web_search tool: one table of providers; the keyed one whose key is set, else a metasearch without a key."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from ml_intern.configs.hosts import base_url
from ml_intern.configs.providers import BRAVE, TAVILY
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.net.blocking import run_in_thread
from ml_intern.net.service import open_service

SECONDS = 30.0
_ENGINE_SECONDS = 10
_EXCERPT = 400


class WebSearchArgs(ToolArgs):
    """What web_search takes."""

    query: str = Field(min_length=1, max_length=400, description="What to search for, in a few words.")
    limit: int = Field(8, ge=1, le=20, description="How many results at most.")


@dataclass(frozen=True)
class Hit:
    """One result of a search."""

    title: str
    url: str
    text: str


Search = Callable[[WebSearchArgs, Mapping[str, str], str], Awaitable[list[Hit]]]


@tool(read_only=True)
async def web_search(args: WebSearchArgs, context: ToolContext) -> ToolResult:
    """Search the public web: titles, addresses and excerpts. Read what looks right with web_read.

    Without a key several search engines are asked; with BRAVE_API_KEY or TAVILY_API_KEY that provider.
    """
    name, key, search = _provider()
    hits = await search(args, context.options.hosts, key)
    if not hits:
        silent = "" if key else ", or its engines did not answer"
        return ToolResult(f"{name} found nothing for {args.query!r}{silent}; use fewer or other words")
    return untrusted_result(_listed(hits[: args.limit]), f"a web search by {name}")


def _provider() -> tuple[str, str, Search]:
    """Name, key and function of the provider to use."""
    keyed = ((BRAVE, _brave), (TAVILY, _tavily))
    for provider, search in keyed:
        if key := os.environ.get(provider.key_envs[0], "").strip():
            return provider.title, key, search
    return "ddgs", "", _ddgs


def _listed(hits: Sequence[Hit]) -> str:
    return "\n\n".join(
        f"{number}. {hit.title}\n   {hit.url}\n   {' '.join(hit.text.split())[:_EXCERPT]}"
        for number, hit in enumerate(hits, start=1)
    )


async def _brave(args: WebSearchArgs, hosts: Mapping[str, str], key: str) -> list[Hit]:
    headers = {"x-subscription-token": key, "accept": "application/json"}
    async with open_service("Brave Search", base_url(hosts, "brave_search"), headers) as service:
        found = await service.get_json("/res/v1/web/search", {"q": args.query, "count": args.limit})
    return _hits(_dict(_dict(found).get("web")).get("results"), "description")


async def _tavily(args: WebSearchArgs, hosts: Mapping[str, str], key: str) -> list[Hit]:
    async with open_service("Tavily", base_url(hosts, "tavily"), {"authorization": f"Bearer {key}"}) as service:
        found = await service.post_json("/search", {"query": args.query, "max_results": args.limit})
    return _hits(_dict(found).get("results"), "content")


async def _ddgs(args: WebSearchArgs, hosts: Mapping[str, str], key: str) -> list[Hit]:  # noqa: ARG001 needs neither
    def search() -> list[Hit]:
        from ddgs import DDGS
        from ddgs.exceptions import DDGSException

        proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
        verify: bool | str = os.environ.get("SSL_CERT_FILE") or True
        try:
            found = DDGS(proxy=proxy, timeout=_ENGINE_SECONDS, verify=verify).text(args.query, max_results=args.limit)
        except DDGSException as error:
            if "No results" in str(error):
                return []
            raise ToolError(
                "the search engines do not answer; try again later, or set BRAVE_API_KEY or TAVILY_API_KEY"
            ) from error
        return [Hit(str(hit.get("title", "")), str(hit.get("href", "")), str(hit.get("body", ""))) for hit in found]

    return await run_in_thread(search, seconds=SECONDS, what="the web search")


def _hits(found: object, text: str) -> list[Hit]:
    entries = [_dict(entry) for entry in found] if isinstance(found, list) else []
    return [Hit(str(e.get("title", "")), str(e.get("url", "")), str(e.get(text, ""))) for e in entries if e.get("url")]


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
