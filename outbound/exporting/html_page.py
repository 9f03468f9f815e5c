"""Export as one self-contained HTML page: no scripts, and no fonts or images from other hosts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ml_intern.outbound.conversation import Conversation, Message, TurnEnding
from ml_intern.outbound.exporting.html_calls import MAX_EXPANDED_LINES, call_html, checklist, image, plan_steps
from ml_intern.outbound.exporting.html_code import code, safe
from ml_intern.outbound.exporting.html_style import STYLE
from ml_intern.outbound.exporting.markdown import ROLE_NAMES, local_time, metadata
from ml_intern.outbound.exporting.pictures import Picture, pictures_of

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MAX_MARKDOWN = 200_000
"""Longest reply, in characters, that is rendered; longer ones are shown as plain text."""
MAX_CONTENTS = 80
"""Characters of a message in the table of contents."""

# The content security policy blocks loading and scripts even if an escape were missing below.
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
"""


def to_html(conversation: Conversation) -> str:
    """Return the page: text is escaped, hidden characters are made visible, replies are rendered as Markdown."""
    shown = {url for message in conversation.messages for url in message.images}
    others = [picture for picture in pictures_of(conversation) if picture.url not in shown]
    return "\n".join(_page(conversation, others)) + "\n"


def _page(conversation: Conversation, pictures: Sequence[Picture]) -> Iterator[str]:
    title = safe(" ".join(conversation.title.split()) or "Untitled thread")
    rows = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in metadata(conversation))
    steps = _latest_plan(conversation)
    yield f"{_HEAD}<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>"
    yield f"<header><h1>{title}</h1>\n<dl>{rows}</dl></header>"
    yield from _contents(conversation, has_plan=steps is not None, has_pictures=bool(pictures))
    yield "<main>"
    if steps is not None:
        yield f'<section id="plan"><h2 class="role">Plan</h2>{checklist(steps)}</section>'
    yield from _messages(conversation)
    if pictures:
        yield '<section id="images"><h2 class="role">Images</h2>'
        yield from map(_figure, pictures)
        yield "</section>"
    yield "</main>\n</body>\n</html>"


def _latest_plan(conversation: Conversation) -> Sequence[Mapping[str, object]] | None:
    plans = (plan_steps(call) for message in reversed(conversation.messages) for call in reversed(message.calls))
    return next((steps for steps in plans if steps is not None), None)


def _contents(conversation: Conversation, *, has_plan: bool, has_pictures: bool) -> Iterator[str]:
    """Yield the table of contents: the plan, every message of the user, the images."""
    asked = [message.text for message in conversation.messages if message.role == "user"]
    links = [(f"turn-{number}", " ".join(text.split())) for number, text in enumerate(asked, start=1)]
    links = [*([("plan", "Plan")] if has_plan else []), *links, *([("images", "Images")] if has_pictures else [])]
    if len(links) > 1:
        items = (f'<li><a href="#{id}">{safe(_shortened(text)) or "(no text)"}</a></li>' for id, text in links)
        yield f'<nav><h2 class="role">Contents</h2><ol>{"".join(items)}</ol></nav>'


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_CONTENTS else f"{text[: MAX_CONTENTS - 1]}…"


def _messages(conversation: Conversation) -> Iterator[str]:
    markdown, results = _renderer(), conversation.results()
    turn, number = 0, 0
    for place, message in enumerate(conversation.messages):
        if message.role == "tool":
            continue
        if message.role == "user":
            yield from _ending(conversation.endings.get(turn))
            turn, number = message.turn, number + 1
        yield from _section(message, number, markdown)
        yield from (call_html(call, results.get((place, call.id))) for call in message.calls)
        yield "</section>"
    yield from _ending(conversation.endings.get(turn))


def _ending(end: TurnEnding | None) -> Iterator[str]:
    """Yield a line for a turn that did not end with an answer."""
    if end is not None and end.status != "done":
        text = f": {end.text}" if end.text and end.text != end.status else ""
        yield f'<p class="ending">Turn ended: {safe(end.status + text)}</p>'


def _renderer() -> "MarkdownIt":
    """Return a Markdown renderer without raw HTML and without images, which a browser would load."""
    from markdown_it import MarkdownIt

    options = {"html": False, "highlight": lambda text, language, _attributes: code(text, language)}
    return MarkdownIt("commonmark", options).enable(["table", "strikethrough"]).disable(["image"])


def _section(message: Message, number: int, markdown: "MarkdownIt") -> Iterator[str]:
    anchor = f' id="turn-{number}"' if message.role == "user" else ""
    time = f"<time>{safe(local_time(message.time))}</time>" if message.time is not None else ""
    yield f'<section class="{message.role}"{anchor}><h2 class="role">{ROLE_NAMES[message.role]}{time}</h2>'
    if message.reasoning.strip():
        yield f'<details><summary>Reasoning</summary><p class="plain">{safe(message.reasoning.strip())}</p></details>'
    if message.text.strip():
        yield _text(message, markdown)
    yield from (image(url) for url in message.images)


def _text(message: Message, markdown: "MarkdownIt") -> str:
    if message.role == "assistant" and len(message.text) <= MAX_MARKDOWN:
        from ml_intern.text.visible import visible

        return str(markdown.render(visible(message.text.strip()))).rstrip()
    text = message.text.strip()
    plain = f'<p class="plain">{safe(text)}</p>'
    if message.role == "note" and text.count("\n") >= MAX_EXPANDED_LINES:
        return f"<details><summary>{safe(_shortened(text.splitlines()[0]))}</summary>{plain}</details>"
    return plain


def _figure(picture: Picture) -> str:
    return f"<figure>{image(picture.url, picture.name)}<figcaption>{safe(picture.name)}</figcaption></figure>"
