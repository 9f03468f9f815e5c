"""The text of a fetched page: HTML and PDF as markdown, converted in a child process; plain text unchanged."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from ml_intern.execution.call import ToolError
from ml_intern.net.child_program import run_child_program
from ml_intern.net.pages import Page

SECONDS = 40.0
MAX_CHILDREN = 2
_CHILD = Path(__file__).with_name("page_text_child.py")
_HTML = ("text/html", "application/xhtml+xml")
_PLAIN = (
    "text/",
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "application/toml",
)
_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@dataclass(frozen=True)
class PageText:
    """The text of a page. `note` describes a limitation, such as missing pages."""

    title: str
    text: str
    note: str = ""


async def extract_text(page: Page) -> PageText:
    """Extract the text of a page.

    Raises:
        ToolError: the page is not text, or no text could be extracted.
    """
    kind = page.content_type.partition(";")[0].strip().lower()
    if page.body.startswith(b"%PDF-"):
        return await _extract_in_child(page, "pdf")
    if kind in _HTML or (not kind and page.body.lstrip()[:1] == b"<"):
        return await _extract_in_child(page, "html")
    if b"\0" in page.body[:4096] or not (kind.startswith(_PLAIN) or kind.endswith(("+json", "+xml")) or not kind):
        size = f"{len(page.body):,} bytes"
        found = kind or "unknown data"
        raise ToolError(f"{page.url[:200]} is not text but {found} ({size}); download it with a command")
    return PageText("", page.body.decode("utf-8", "replace"))


async def _extract_in_child(page: Page, kind: str) -> PageText:
    loop = asyncio.get_running_loop()
    async with _slots.setdefault(loop, asyncio.Semaphore(MAX_CHILDREN)):
        try:
            out = await run_child_program(_CHILD, kind, page.url[:2000], stdin=page.body, seconds=SECONDS)
        except TimeoutError as error:
            message = f"{page.url[:200]} could not be converted within {SECONDS:g} s; read another page"
            raise ToolError(message) from error
    try:
        found = json.loads(out)
    except ValueError as error:
        raise ToolError(f"no text could be extracted from {page.url[:200]}; read another page") from error
    if not found["text"].strip():
        why = found["note"] or "it may be built by scripts"
        raise ToolError(f"{page.url[:200]} has no text: {why}; read another page")
    return PageText(found["title"], found["text"], found["note"])
