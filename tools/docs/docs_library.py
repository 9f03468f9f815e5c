"""The documentation of the Hugging Face libraries: its pages and page lists, cached on disk with their age.

No token is ever sent: everything is public.
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
from ml_intern.store.sqlite.pages import CachedPage, FoundPage, PageCache, open_pages
from ml_intern.text.formatting import plural

AGE_SECONDS = 86_400.0
"""Age above which a cached page is fetched again."""
MAX_INDEXED = 500
"""Maximum pages of one product in the local index."""
INDEX_SECONDS = 75.0
_FETCHED_AT_ONCE = 8
_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)*")
_MARKDOWN_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HUB_NAMES = ("huggingface.co", "www.huggingface.co", "hf.co")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Library:
    """The documentation on the Hub. Open it with `open_library`."""

    service: Service
    cache: PageCache

    async def page(self, path: str) -> CachedPage:
        """Return the page at a path such as /docs/trl/sft_trainer, as markdown.

        Raises NotFound, and the service's errors when no cached copy exists.
        """
        return await self._get_cached(path, f"{path}.md", path.split("/")[2])

    async def products(self) -> CachedPage:
        """Return the Hub's list of products, in JSON."""
        return await self._get_cached("/api/docs", "/api/docs", "")

    async def openapi(self) -> CachedPage:
        """Return the OpenAPI description of the Hub's HTTP API, in JSON."""
        return await self._get_cached("/.well-known/openapi.json", "/.well-known/openapi.json", "")

    async def list_paths(self, product: str) -> list[str]:
        """Return the paths of a product's pages. Raises NotFound when there is no such product."""
        root = f"/docs/{product}"
        try:
            listing = await self._get_cached(f"{root}/llms.txt", f"{root}/llms.txt", "")
            links = _MARKDOWN_LINK.findall(listing.text)
        except NotFound:
            listing = await self._get_cached(f"{root}?sidebar", root, "")
            links = await asyncio.to_thread(_html_links, listing.text)
        absolute = [urlsplit(urljoin(f"{self.service.base}{root}/", link)) for link in links]
        own = [parts.path.removesuffix(".md") for parts in absolute if parts.path.startswith(f"{root}/")]
        return [path for path in dict.fromkeys(own) if not path.endswith("/llms.txt")]

    async def index(self, product: str, progress: Progress) -> str:
        """Fetch a product's pages into the searchable cache, and return a note when some are missing."""
        paths = await self.list_paths(product)
        known = await self.cache.fresh(product, AGE_SECONDS)
        missing = [path for path in paths[:MAX_INDEXED] if path not in known]
        try:
            async with asyncio.timeout(INDEX_SECONDS):
                failed = await self._fetch_all(missing, product, progress)
        except TimeoutError:
            total = plural(len(paths), "page")
            return f"not all of {total} were read within {INDEX_SECONDS:.0f} s; search again to read the rest"
        left_out = len(paths) - MAX_INDEXED
        notes = [f"{plural(left_out, 'page')} left out"] if left_out > 0 else []
        return "; ".join([*notes, *([f"{plural(failed, 'page')} could not be read"] if failed else [])])

    async def search_index(self, query: str, product: str, limit: int) -> list[FoundPage]:
        """Search the cached pages."""
        return await self.cache.search(query, product, limit)

    async def _fetch_all(self, paths: Sequence[str], product: str, progress: Progress) -> int:
        """Fetch pages a few at a time into the cache, and return how many could not be read."""
        failed = 0
        for start in range(0, len(paths), _FETCHED_AT_ONCE):
            batch = paths[start : start + _FETCHED_AT_ONCE]
            found = await asyncio.gather(*(self._try_get(path, f"{path}.md", product) for path in batch))
            failed += sum(page is None for page in found)
            await self.cache.put([page for page in found if page is not None])
            progress(f"{product}: {start + len(batch)} of {plural(len(paths), 'page')} read\n")
        return failed

    async def _try_get(self, key: str, path: str, shelf: str) -> CachedPage | None:
        try:
            return await self._get(key, path, shelf)
        except (NotFound, Unavailable):
            return None

    async def _get_cached(self, key: str, path: str, shelf: str) -> CachedPage:
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
    """Open the documentation of the configured Hub, with the cache for its address."""
    base = hub_url()
    folder = cache_home() / "docs" / re.sub(r"[^\w.-]+", "_", base.partition("://")[2])
    async with open_service("the Hub's documentation", base) as service, open_pages(folder) as cache:
        yield Library(service, cache)


def split_address(page: str) -> tuple[str, str]:
    """Return the path and anchor of a page given as URL, /docs/... or product/page. Raises ToolError for any other."""
    parts = urlsplit(page.strip())
    if parts.netloc and parts.netloc not in (*_HUB_NAMES, urlsplit(hub_url()).netloc):
        raise ToolError(f"{page[:200]} is not a page of the Hub's documentation; read it with web_read")
    name = parts.path.strip("/").removeprefix("docs/").removesuffix(".md").removesuffix(".html")
    if not _NAME.fullmatch(name) or ".." in name:
        raise ToolError(f"{page[:200]!r} is not the name of a page; use a name such as trl/sft_trainer")
    return f"/docs/{name}", parts.fragment


def age_note(page: CachedPage | FoundPage) -> str:
    """Describe the age of a cached page; empty when it was just fetched."""
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
