"""The docs_read tool: a page of the documentation, a section of it, an operation of the HTTP API, or what there is."""

import asyncio
import json

from pydantic import Field
from rapidfuzz import process as fuzzy

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import render_untrusted, untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.net.service import NotFound
from ml_intern.store.pages import CachedPage
from ml_intern.tools.docs.docs_library import Library, age_words, open_library, split_address
from ml_intern.tools.docs.http_api import operations
from ml_intern.tools.web.page_text import PageText
from ml_intern.tools.web.sections import shown

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
_MAX_LISTED = 400


class DocsReadArgs(ToolArgs):
    """What docs_read takes."""

    page: str = Field(
        "",
        max_length=500,
        description="A page as docs_search names it, as product/page (trl/sft_trainer), or an HTTP operation "
        "(GET /api/models). A product alone lists its pages; empty lists the products.",
    )
    section: str = Field("", max_length=200, description="A heading or #anchor: only that section of the page.")


@tool(read_only=True)
async def docs_read(args: DocsReadArgs, context: ToolContext) -> ToolResult:  # noqa: ARG001 it needs no context
    """Read a page of the current documentation of the Hugging Face libraries as markdown, or one section of it.

    The first word of a page is its library: transformers, trl, peft, datasets, accelerate, huggingface_hub, hub ...
    Pages are kept for a day; the age is said. Needs no token.
    """
    async with open_library() as library:
        if not args.page.strip():
            return untrusted_result(_products(await library.products()), f"{hub_url()}/api/docs")
        if args.page.partition(" ")[0].upper() in _METHODS:
            return await _operation(library, args.page)
        path, anchor = split_address(args.page)
        if path.count("/") == 2:
            return untrusted_result(await _listing(library, path), hub_url() + path)
        return await _page(library, path, args.section or anchor)


async def _page(library: Library, path: str, section: str) -> ToolResult:
    try:
        page = await library.page(path)
    except NotFound as fault:
        raise ToolError(f"there is no page {path}; {await _nearest(library, path)}") from fault
    found = PageText("", page.text, age_words(page))
    return await render_untrusted(lambda: shown(found, path, section), hub_url() + path)


async def _nearest(library: Library, path: str) -> str:
    product = path.split("/")[2]
    try:
        known = await library.paths_of(product)
    except NotFound:
        return f"there is no product {product!r} either; an empty page lists the products"
    near = [one.removeprefix("/docs/") for one, _, _ in fuzzy.extract(path, known, limit=4)]
    return f"the nearest are {', '.join(near)}" if near else "docs_search finds pages"


async def _listing(library: Library, path: str) -> str:
    product = path.split("/")[2]
    try:
        known = await library.paths_of(product)
    except NotFound as fault:
        raise ToolError(f"there is no product {product!r}; an empty page lists the products") from fault
    more = [f"[{len(known) - _MAX_LISTED} more; docs_search finds them]"] if len(known) > _MAX_LISTED else []
    names = [one.removeprefix("/docs/") for one in known[:_MAX_LISTED]]
    return "\n".join([f"{product} has {len(known)} pages:", *names, *more])


def _products(listing: CachedPage) -> str:
    try:
        found = [entry for entry in json.loads(listing.text) if isinstance(entry, dict)]
    except (ValueError, TypeError):
        found = []
    if not found:
        raise ToolError("the list of products cannot be understood; name one, for example trl")
    lines = [f"{entry.get('id')} ({entry.get('category') or entry.get('title') or ''})" for entry in found]
    return "\n".join(lines)


async def _operation(library: Library, wanted: str) -> ToolResult:
    found = {page.url: page for page in await asyncio.to_thread(operations, await library.openapi())}
    method, _, path = wanted.strip().partition(" ")
    page = found.get(f"{method.upper()} {path.strip()}")
    if page is None:
        near = [one for one, _, _ in fuzzy.extract(wanted, list(found), limit=5)]
        raise ToolError(f"the HTTP API has no operation {wanted[:200]!r}; the nearest are {', '.join(near)}")
    return untrusted_result(page.text, f"{hub_url()}/.well-known/openapi.json")
