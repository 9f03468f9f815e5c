"""One message as HTML, for the exported page and the web page: its text, reasoning, images and tool calls."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from ml_intern.outbound.conversation import Message, TurnEnding
from ml_intern.outbound.exporting.html_calls import MAX_EXPANDED_LINES, call_html, image
from ml_intern.outbound.exporting.html_code import code, safe
from ml_intern.outbound.exporting.markdown import ROLE_NAMES, local_time

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MAX_MARKDOWN = 200_000
"""Longest reply, in characters, that is rendered; longer ones are shown as plain text."""
MAX_SHORTENED = 80


def section(message: Message, results: Mapping[str, Message], anchor: str = "", *, running: bool = False) -> str:
    """Return a message with its tool calls and their results by call id.

    `anchor` is the id of the element. `running`: a call without a result may still get one.
    """
    calls = (call_html(call, results.get(call.id), running=running) for call in message.calls)
    return "\n".join([*_parts(message, anchor), *calls, "</section>"])


def ending(end: TurnEnding) -> str:
    """Return a line about a turn that did not end with an answer; "" for one that did."""
    if end.status == "done":
        return ""
    text = f": {end.text}" if end.text and end.text != end.status else ""
    return f'<p class="ending">Turn ended: {safe(end.status + text)}</p>'


def markdown_html(text: str) -> str:
    """Return Markdown as HTML, without raw HTML, images and unsafe links, and with hidden characters made visible."""
    from ml_intern.text.visible import visible

    return str(_renderer().render(visible(text.strip()))).rstrip()


def shortened(text: str) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= MAX_SHORTENED else f"{text[: MAX_SHORTENED - 1]}…"


@lru_cache
def _renderer() -> "MarkdownIt":
    """Return a Markdown renderer without raw HTML and without images, which a browser would load."""
    from markdown_it import MarkdownIt

    options = {"html": False, "highlight": lambda text, language, _attributes: code(text, language)}
    return MarkdownIt("commonmark", options).enable(["table", "strikethrough"]).disable(["image"])


def _parts(message: Message, anchor: str) -> Iterator[str]:
    id = f' id="{safe(anchor)}"' if anchor else ""
    time = f"<time>{safe(local_time(message.time))}</time>" if message.time is not None else ""
    yield f'<section class="{message.role}"{id}><h2 class="role">{ROLE_NAMES[message.role]}{time}</h2>'
    if message.reasoning.strip():
        yield f'<details><summary>Reasoning</summary><p class="plain">{safe(message.reasoning.strip())}</p></details>'
    if message.text.strip():
        yield _text(message)
    yield from (image(url) for url in message.images)


def _text(message: Message) -> str:
    if message.role == "assistant" and len(message.text) <= MAX_MARKDOWN:
        return markdown_html(message.text)
    text = message.text.strip()
    plain = f'<p class="plain">{safe(text)}</p>'
    if message.role == "note" and text.count("\n") >= MAX_EXPANDED_LINES:
        return f"<details><summary>{safe(shortened(text.splitlines()[0]))}</summary>{plain}</details>"
    return plain
