"""The docs_read tool: reads a documentation page, a section, or an HTTP API operation, or lists pages and products."""

import asyncio
import json

from pydantic import Field
from rapidfuzz import process as fuzzy

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.provenance import render_untrusted, untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.net.service import NotFound
from ml_intern.store.sqlite.pages import CachedPage
from ml_intern.text.formatting import plural
from ml_intern.tools.docs.docs_library import Library, age_note, open_library, split_address
from ml_intern.tools.docs.http_api import operations
from ml_intern.tools.web.page_text import PageText
from ml_intern.tools.web.sections import render_page

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
_MAX_LISTED = 400


class DocsReadArgs(ToolArgs):
    """The arguments of docs_read."""

    page: str = Field(
        "",
        max_length=500,
        description="A page from docs_search, a product/page such as trl/sft_trainer, or an HTTP operation "
        "(GET /api/models). A product name lists its pages; empty lists the products.",
    )
    section: str = Field("", max_length=200, description="A heading or #anchor: only that section of the page.")


@tool(read_only=True)
async def docs_read(args: DocsReadArgs, context: ToolContext) -> ToolResult:  # noqa: ARG001 it needs no context
    """Read a page of the current documentation of the Hugging Face libraries as markdown, or one section of it.

    A page name begins with its product: transformers, trl, peft, datasets, accelerate, huggingface_hub, hub ...
    Pages are cached for a day; the result states their age. Needs no token.
    """
    async with open_library() as library:
        if not args.page.strip():
            return untrusted_result(_list_products(await library.products()), f"{hub_url()}/api/docs")
        if args.page.partition(" ")[0].upper() in _METHODS:
            return await _read_operation(library, args.page)
        path, anchor = split_address(args.page)
        if path.count("/") == 2:
            return untrusted_result(await _list_pages(library, path), hub_url() + path)
        return await _page(library, path, args.section or anchor)


async def _page(library: Library, path: str, section: str) -> ToolResult:
    try:
        page = await library.page(path)
    except NotFound as error:
        raise ToolError(f"there is no page {path}; {await _suggestion(library, path)}") from error
    found = PageText("", page.text, age_note(page))
    return await render_untrusted(lambda: render_page(found, path, section), hub_url() + path)


async def _suggestion(library: Library, path: str) -> str:
    product = path.split("/")[2]
    try:
        paths = await library.list_paths(product)
    except NotFound:
        return f"there is no product {product!r} either; list the products with an empty page"
    similar = [one.removeprefix("/docs/") for one, _, _ in fuzzy.extract(path, paths, limit=4)]
    return f"similar pages: {', '.join(similar)}" if similar else "find pages with docs_search"


async def _list_pages(library: Library, path: str) -> str:
    product = path.split("/")[2]
    try:
        paths = await library.list_paths(product)
    except NotFound as error:
        raise ToolError(f"there is no product {product!r}; list the products with an empty page") from error
    more = [f"[{len(paths) - _MAX_LISTED} more; find them with docs_search]"] if len(paths) > _MAX_LISTED else []
    names = [one.removeprefix("/docs/") for one in paths[:_MAX_LISTED]]
    return "\n".join([f"{product} has {plural(len(paths), 'page')}:", *names, *more])


def _list_products(listing: CachedPage) -> str:
    try:
        found = [entry for entry in json.loads(listing.text) if isinstance(entry, dict)]
    except (ValueError, TypeError):
        found = []
    if not found:
        raise ToolError("the list of products could not be parsed; give a product, for example trl")
    lines = [f"{entry.get('id')} ({entry.get('category') or entry.get('title') or ''})" for entry in found]
    return "\n".join(lines)


async def _read_operation(library: Library, wanted: str) -> ToolResult:
    found = {page.url: page for page in await asyncio.to_thread(operations, await library.openapi())}
    method, _, path = wanted.strip().partition(" ")
    page = found.get(f"{method.upper()} {path.strip()}")
    if page is None:
        similar = [one for one, _, _ in fuzzy.extract(wanted, list(found), limit=5)]
        raise ToolError(f"the HTTP API has no operation {wanted[:200]!r}; similar ones: {', '.join(similar)}")
    return untrusted_result(page.text, f"{hub_url()}/.well-known/openapi.json")
