"""Export as one self-contained HTML page: no scripts, and no fonts or images from other hosts."""

from collections.abc import Iterator, Mapping, Sequence

from ml_intern.outbound.conversation import Conversation, TurnEnding
from ml_intern.outbound.exporting.html_calls import checklist, image, plan_steps
from ml_intern.outbound.exporting.html_code import safe
from ml_intern.outbound.exporting.html_message import ending, section, shortened
from ml_intern.outbound.exporting.html_style import LAYOUT, STYLE
from ml_intern.outbound.exporting.markdown import metadata
from ml_intern.outbound.exporting.pictures import Picture, pictures_of

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


def page_head(title: str, style: str = "") -> str:
    """Return the beginning of a page up to its body: nothing in it can load anything or run scripts."""
    return f"{_HEAD}<title>{safe(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>"


def _page(conversation: Conversation, pictures: Sequence[Picture]) -> Iterator[str]:
    title = " ".join(conversation.title.split()) or "Untitled thread"
    rows = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in metadata(conversation))
    steps = _latest_plan(conversation)
    yield page_head(title, LAYOUT)
    yield f"<header><h1>{safe(title)}</h1>\n<dl>{rows}</dl></header>"
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
        items = (f'<li><a href="#{id}">{safe(shortened(text)) or "(no text)"}</a></li>' for id, text in links)
        yield f'<nav><h2 class="role">Contents</h2><ol>{"".join(items)}</ol></nav>'


def _messages(conversation: Conversation) -> Iterator[str]:
    results = conversation.results()
    turn, number = 0, 0
    for place, message in enumerate(conversation.messages):
        if message.role == "tool":
            continue
        if message.role == "user":
            yield from _ending(conversation.endings.get(turn))
            turn, number = message.turn, number + 1
        anchor = f"turn-{number}" if message.role == "user" else ""
        found = {call.id: results[key] for call in message.calls if (key := (place, call.id)) in results}
        yield section(message, found, anchor)
    yield from _ending(conversation.endings.get(turn))


def _ending(end: TurnEnding | None) -> Iterator[str]:
    if end is not None and (line := ending(end)):
        yield line


def _figure(picture: Picture) -> str:
    return f"<figure>{image(picture.url, picture.name)}<figcaption>{safe(picture.name)}</figcaption></figure>"
