"""The documentation of the Hugging Face libraries: its pages, cached on disk with their age, and what lists them.

No token is ever sent: all of it is public.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from ml_intern.configs.hosts import hub_url
from ml_intern.configs.paths import cache_home
from ml_intern.execution.call import ToolError
from ml_intern.net.service import NotFound, Service, Unavailable, open_service
from ml_intern.store.pages import CachedPage, FoundPage, PageCache, open_pages

AGE_SECONDS = 86_400.0
"""A cached page is used for so long before it is fetched again."""
MAX_INDEXED = 500
"""Pages of one product that are read to be searched here."""
INDEX_SECONDS = 75.0
_FETCHED_AT_ONCE = 8
_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)*")
_MARKDOWN_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HUB_NAMES = ("huggingface.co", "www.huggingface.co", "hf.co")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Library:
    """The documentation at the Hub. Open it with `open_library`."""

    service: Service
    cache: PageCache

    async def page(self, path: str) -> CachedPage:
        """The page at a path such as /docs/trl/sft_trainer, as markdown.

        Raises NotFound, and what the service raises where no earlier copy is at hand.
        """
        return await self._cached(path, f"{path}.md", path.split("/")[2])

    async def products(self) -> CachedPage:
        """The list of products as the Hub gives it, in JSON."""
        return await self._cached("/api/docs", "/api/docs", "")

    async def openapi(self) -> CachedPage:
        """The description of the Hub's HTTP API, in JSON."""
        return await self._cached("/.well-known/openapi.json", "/.well-known/openapi.json", "")

    async def paths_of(self, product: str) -> list[str]:
        """The paths of a product's pages. Raises NotFound when there is no such product."""
        root = f"/docs/{product}"
        try:
            listing = await self._cached(f"{root}/llms.txt", f"{root}/llms.txt", "")
            links = _MARKDOWN_LINK.findall(listing.text)
        except NotFound:
            listing = await self._cached(f"{root}?sidebar", root, "")
            links = await asyncio.to_thread(_html_links, listing.text)
        absolute = [urlsplit(urljoin(f"{self.service.base}{root}/", link)) for link in links]
        inside = [parts.path.removesuffix(".md") for parts in absolute if parts.path.startswith(f"{root}/")]
        return [path for path in dict.fromkeys(inside) if not path.endswith("/llms.txt")]

    async def index(self, product: str, progress: Progress) -> str:
        """Read a product's pages into the cache so that they can be searched; a note when not all of them are there."""
        paths = await self.paths_of(product)
        known = await self.cache.fresh(product, AGE_SECONDS)
        missing = [path for path in paths[:MAX_INDEXED] if path not in known]
        try:
            async with asyncio.timeout(INDEX_SECONDS):
                failed = await self._fetch_all(missing, product, progress)
        except TimeoutError:
            return f"{INDEX_SECONDS:.0f} s were not enough to read all {len(paths)} pages; search again for the rest"
        left_out = len(paths) - MAX_INDEXED
        notes = [f"{left_out} pages were left out"] if left_out > 0 else []
        return "; ".join([*notes, *([f"{failed} pages could not be read"] if failed else [])])

    async def search_index(self, query: str, product: str, limit: int) -> list[FoundPage]:
        """What the pages read so far say to these words."""
        return await self.cache.search(query, product, limit)

    async def _fetch_all(self, paths: Sequence[str], product: str, progress: Progress) -> int:
        """Fetch pages a few at a time and keep them; how many could not be read."""
        failed = 0
        for start in range(0, len(paths), _FETCHED_AT_ONCE):
            batch = paths[start : start + _FETCHED_AT_ONCE]
            found = await asyncio.gather(*(self._fetched(path, f"{path}.md", product) for path in batch))
            failed += sum(page is None for page in found)
            await self.cache.put([page for page in found if page is not None])
            progress(f"{product}: {start + len(batch)} of {len(paths)} pages read\n")
        return failed

    async def _fetched(self, key: str, path: str, shelf: str) -> CachedPage | None:
        try:
            return await self._get(key, path, shelf)
        except (NotFound, Unavailable):
            return None

    async def _cached(self, key: str, path: str, shelf: str) -> CachedPage:
        known = await self.cache.get(key)
        if known is not None and known.age < AGE_SECONDS:
            return known
        try:
            page = await self._get(key, path, shelf)
        except Unavailable:
            if known is None:
                raise
            return known
        await self.cache.put([page])
        return page

    async def _get(self, key: str, path: str, shelf: str) -> CachedPage:
        answer = await self.service.get(path)
        return CachedPage(key, shelf, _title(answer.text) or key, answer.text, time.time())


@asynccontextmanager
async def open_library() -> AsyncIterator[Library]:
    """The documentation of the Hub in force, with the cache that belongs to that address."""
    base = hub_url()
    folder = cache_home() / "docs" / re.sub(r"[^\w.-]+", "_", base.partition("://")[2])
    async with open_service("the Hub's documentation", base) as service, open_pages(folder) as cache:
        yield Library(service, cache)


def split_address(page: str) -> tuple[str, str]:
    """Path and anchor of a page named as URL, as /docs/..., or as product/page. Raises ToolError for any other."""
    parts = urlsplit(page.strip())
    if parts.netloc and parts.netloc not in (*_HUB_NAMES, urlsplit(hub_url()).netloc):
        raise ToolError(f"{page[:200]} is no page of the Hub's documentation; read it with web_read")
    name = parts.path.strip("/").removeprefix("docs/").removesuffix(".md").removesuffix(".html")
    if not _NAME.fullmatch(name) or ".." in name:
        raise ToolError(f"{page[:200]!r} names no page; write for example trl/sft_trainer")
    return f"/docs/{name}", parts.fragment


def age_words(page: CachedPage | FoundPage) -> str:
    """How old a cached page is, in words; empty when it was fetched just now."""
    age = time.time() - page.fetched
    if age < 60:
        return ""
    return f"cached {age / 60:.0f} min ago" if age < 5400 else f"cached {age / 3600:.0f} h ago"


def _title(text: str) -> str:
    heading = re.search(r"^#{1,3}[ \t]+(.+)$", text, re.MULTILINE)
    return re.sub(r"\[\[[^\]]*\]\]", "", heading[1]).strip() if heading else ""


def _html_links(text: str) -> list[str]:
    from lxml import html

    if not text.strip():
        return []
    return [str(link) for link in html.fromstring(text).xpath("//a/@href")]
