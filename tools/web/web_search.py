"""The web_search tool: uses the provider whose key is set, else a metasearch that needs no key."""

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
    """The arguments of web_search."""

    query: str = Field(min_length=1, max_length=400, description="The search terms, in a few words.")
    limit: int = Field(8, ge=1, le=20, description="The maximum number of results.")


@dataclass(frozen=True)
class Hit:
    """One search result."""

    title: str
    url: str
    text: str


Search = Callable[[WebSearchArgs, Mapping[str, str], str], Awaitable[list[Hit]]]


@tool(read_only=True)
async def web_search(args: WebSearchArgs, context: ToolContext) -> ToolResult:
    """Search the public web for titles, addresses and excerpts. Read promising results with web_read.

    With BRAVE_API_KEY or TAVILY_API_KEY it uses that provider; without a key, several search engines.
    """
    name, key, search = _provider()
    hits = await search(args, context.options.hosts, key)
    if not hits:
        maybe = "" if key else ", or its engines did not answer"
        return ToolResult(f"{name} found nothing for {args.query!r}{maybe}; use fewer or different words")
    return untrusted_result(_format_hits(hits[: args.limit]), f"a web search by {name}")


def _provider() -> tuple[str, str, Search]:
    """Return the name, key and function of the provider to use."""
    keyed = ((BRAVE, _brave), (TAVILY, _tavily))
    for provider, search in keyed:
        if key := os.environ.get(provider.key_envs[0], "").strip():
            return provider.title, key, search
    return "ddgs", "", _ddgs


def _format_hits(hits: Sequence[Hit]) -> str:
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


async def _ddgs(args: WebSearchArgs, hosts: Mapping[str, str], key: str) -> list[Hit]:  # noqa: ARG001 it uses neither
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
                "the search engines did not answer; try again later, or set BRAVE_API_KEY or TAVILY_API_KEY"
            ) from error
        return [Hit(str(hit.get("title", "")), str(hit.get("href", "")), str(hit.get("body", ""))) for hit in found]

    return await run_in_thread(search, seconds=SECONDS, what="the web search")


def _hits(found: object, text: str) -> list[Hit]:
    entries = [_dict(entry) for entry in found] if isinstance(found, list) else []
    return [Hit(str(e.get("title", "")), str(e.get("url", "")), str(e.get(text, ""))) for e in entries if e.get("url")]


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
