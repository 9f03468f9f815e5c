"""The docs_search tool: the Hub's own search of its documentation, else an index of a product's pages kept here."""

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.net.service import NotFound, Unavailable
from ml_intern.store.pages import FoundPage
from ml_intern.tools.docs.docs_library import Library, age_words, open_library
from ml_intern.tools.docs.http_api import SHELF, operations

_EXCERPT = 500


class DocsSearchArgs(ToolArgs):
    """What docs_search takes."""

    query: str = Field(min_length=2, max_length=200, description="What to look for, in a few words.")
    product: str = Field(
        "",
        max_length=60,
        pattern=r"^[\w.-]*$",
        description="Only this library: transformers, trl, peft, datasets, hub ... or http-api for the Hub's HTTP API.",
    )
    limit: int = Field(8, ge=1, le=25, description="How many pages at most.")


@tool(read_only=True)
async def docs_search(args: DocsSearchArgs, context: ToolContext) -> ToolResult:
    """Search the current documentation of the Hugging Face libraries and services: pages with excerpts.

    Look here before you use an API from memory. Read a page it names with docs_read. With product http-api the
    operations of the Hub's HTTP API are searched. Needs no token.
    """
    async with open_library() as library:
        if args.product == SHELF:
            found, note = await _operations(library, args), ""
        else:
            found, note = await _pages(library, args, context)
    if not found:
        where = f" in {args.product}" if args.product else ""
        if note:
            raise ToolError(f"nothing found for {args.query!r}{where}: {note}")
        return ToolResult(
            f"nothing found for {args.query!r}{where}; use other words; docs_read with an empty page lists the products"
        )
    return untrusted_result("\n\n".join([*found, *([f"({note})"] if note else [])]), f"{hub_url()}/docs")


async def _pages(library: Library, args: DocsSearchArgs, context: ToolContext) -> tuple[list[str], str]:
    """What the Hub's search finds; where it does not answer, or knows nothing, what the index finds."""
    note = ""
    try:
        if hits := await _by_hub(library, args):
            return hits, ""
    except ToolError as fault:
        note = f"the Hub's own search did not answer ({fault}); this is from pages read here"
    if args.product:
        note = "; ".join(filter(None, [note, await _indexed(library, args, context)]))
    elif note:
        note += ". Name a product to have its pages read"
    return [_cached_hit(hit) for hit in await library.search_index(args.query, args.product, args.limit)], note


async def _by_hub(library: Library, args: DocsSearchArgs) -> list[str]:
    asked = {"q": args.query, "limit": args.limit, **({"product": args.product} if args.product else {})}
    reply = await library.service.get_json("/api/docs/search", asked)
    hits = reply if isinstance(reply, list) else next((one for one in _values(reply) if isinstance(one, list)), [])
    return [_hub_hit(hit) for hit in hits[: args.limit] if isinstance(hit, dict)]


def _values(reply: object) -> Sequence[object]:
    return list(reply.values()) if isinstance(reply, dict) else []


def _hub_hit(hit: dict[str, Any]) -> str:
    """A hit of the Hub's search, whose fields are documented nowhere."""

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
    age = age_words(hit)
    return f"{hit.title}\n   {url}{f' ({age})' if age else ''}\n   {' '.join(hit.excerpt.split())[:_EXCERPT]}"


async def _indexed(library: Library, args: DocsSearchArgs, context: ToolContext) -> str:
    """Read the pages of the product; a note when some are missing."""

    def progress(text: str) -> None:
        context.emit("tool_log", id=context.call_id, name="docs_search", text=text)

    try:
        return await library.index(args.product, progress)
    except NotFound as fault:
        raise ToolError(
            f"there is no documentation of {args.product!r}; docs_read with an empty page lists the products"
        ) from fault
    except Unavailable as fault:
        return str(fault)


async def _operations(library: Library, args: DocsSearchArgs) -> list[str]:
    description = await library.openapi()
    known = await library.cache.fresh(SHELF, description.age + 1)
    if not known:
        await library.cache.put(await asyncio.to_thread(operations, description))
    return [_cached_hit(hit) for hit in await library.search_index(args.query, SHELF, args.limit)]
