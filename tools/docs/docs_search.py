"""The docs_search tool: uses the Hub's documentation search, or else a local index of a product's pages."""

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.net.service import NotFound, Unavailable
from ml_intern.store.sqlite.pages import FoundPage
from ml_intern.tools.docs.docs_library import Library, age_note, open_library
from ml_intern.tools.docs.http_api import HTTP_API, operations

_EXCERPT = 500


class DocsSearchArgs(ToolArgs):
    """The arguments of docs_search."""

    query: str = Field(min_length=2, max_length=200, description="The search terms, in a few words.")
    product: str = Field(
        "",
        max_length=60,
        pattern=r"^[\w.-]*$",
        description="Only this product: transformers, trl, peft, datasets, hub ... or http-api for the Hub's HTTP API.",
    )
    limit: int = Field(8, ge=1, le=25, description="The maximum number of pages.")


@tool(read_only=True)
async def docs_search(args: DocsSearchArgs, context: ToolContext) -> ToolResult:
    """Search the current documentation of the Hugging Face libraries and services for pages with excerpts.

    Search here before you use an API from memory. Read the pages it finds with docs_read. Use product http-api to
    search the operations of the Hub's HTTP API. Needs no token.
    """
    async with open_library() as library:
        if args.product == HTTP_API:
            found, note = await _operations(library, args), ""
        else:
            found, note = await _pages(library, args, context)
    if not found:
        where = f" in {args.product}" if args.product else ""
        if note:
            raise ToolError(f"nothing found for {args.query!r}{where}: {note}")
        return ToolResult(
            f"nothing found for {args.query!r}{where}; use different words, or list the products with docs_read and an "
            "empty page"
        )
    return untrusted_result("\n\n".join([*found, *([f"({note})"] if note else [])]), f"{hub_url()}/docs")


async def _pages(library: Library, args: DocsSearchArgs, context: ToolContext) -> tuple[list[str], str]:
    """Search with the Hub; if it fails or finds nothing, search the local index. Return the hits and a note."""
    note = ""
    try:
        if hits := await _search_hub(library, args):
            return hits, ""
    except ToolError as error:
        note = f"the Hub's search failed ({error}); these results are from a local index"
    if args.product:
        note = "; ".join(filter(None, [note, await _build_index(library, args, context)]))
    elif note:
        note += ". Set product to index its pages"
    return [_cached_hit(hit) for hit in await library.search_index(args.query, args.product, args.limit)], note


async def _search_hub(library: Library, args: DocsSearchArgs) -> list[str]:
    params = {"q": args.query, "limit": args.limit, **({"product": args.product} if args.product else {})}
    reply = await library.service.get_json("/api/docs/search", params)
    hits = reply if isinstance(reply, list) else next((one for one in _values(reply) if isinstance(one, list)), [])
    return [_hub_hit(hit) for hit in hits[: args.limit] if isinstance(hit, dict)]


def _values(reply: object) -> Sequence[object]:
    return list(reply.values()) if isinstance(reply, dict) else []


def _hub_hit(hit: dict[str, Any]) -> str:
    """Format a hit of the Hub's search, whose fields are undocumented."""

    def first(*names: str) -> str:
        return next((str(hit[name]) for name in names if hit.get(name)), "")

    title = first("source_page_title", "heading1", "title")
    section = first("heading2", "section")
    url = first("source_page_url", "url", "path", "link")
    url = f"{hub_url()}{url}" if url.startswith("/") else url
    text = " ".join(first("text", "excerpt", "snippet", "content").split())[:_EXCERPT]
    product = first("product")
    return f"{product}: {title}{f' > {section}' if section else ''}\n   {url}\n   {text}"


def _cached_hit(hit: FoundPage) -> str:
    url = f"{hub_url()}{hit.url}" if hit.url.startswith("/") else hit.url
    age = age_note(hit)
    return f"{hit.title}\n   {url}{f' ({age})' if age else ''}\n   {' '.join(hit.excerpt.split())[:_EXCERPT]}"


async def _build_index(library: Library, args: DocsSearchArgs, context: ToolContext) -> str:
    """Index the pages of the product, and return a note when some are missing."""

    def progress(text: str) -> None:
        context.emit("tool_log", id=context.call_id, name="docs_search", text=text)

    try:
        return await library.index(args.product, progress)
    except NotFound as error:
        raise ToolError(
            f"there is no documentation for {args.product!r}; list the products with docs_read and an empty page"
        ) from error
    except Unavailable as error:
        return str(error)


async def _operations(library: Library, args: DocsSearchArgs) -> list[str]:
    description = await library.openapi()
    known = await library.cache.fresh(HTTP_API, description.age + 1)
    if not known:
        await library.cache.put(await asyncio.to_thread(operations, description))
    return [_cached_hit(hit) for hit in await library.search_index(args.query, HTTP_API, args.limit)]
