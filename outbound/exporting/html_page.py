"""Export as one self-contained HTML page: no scripts, and no fonts or images from other hosts."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from ml_intern.outbound.conversation import Call, Conversation, Message
from ml_intern.outbound.exporting.markdown import ROLE_NAMES, local_time, metadata
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MAX_MARKDOWN = 200_000
"""Longest reply, in characters, that is rendered; longer ones are shown as plain text."""
MAX_SUMMARY = 90
"""Characters of an argument in the summary line of a call."""
MAX_EXPANDED_LINES = 12
"""Results of at most this many lines are expanded initially."""

# The content security policy blocks loading and scripts even if an escape were missing below.
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1f2328; --quiet: #59636e; --page: #fff; --box: #f6f8fa; --line: #d1d9e0;
  --user: #0550ae; --failed: #b42318 }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6edf3; --quiet: #9198a1; --page: #0d1117; --box: #161b22;
  --line: #3d444d; --user: #79c0ff; --failed: #ff8b7d }} }}
* {{ box-sizing: border-box }}
body {{ margin: 0 auto; max-width: 54rem; padding: 2rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, sans-serif; overflow-wrap: anywhere }}
h1 {{ font-size: 1.6rem; line-height: 1.3; margin: 0 0 .5rem }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: 0 0 2rem; color: var(--quiet);
  font-size: .875rem }}
dd {{ margin: 0 }}
section {{ margin: 1.5rem 0 }}
section > h2 {{ font-size: .8rem; margin: 0 0 .25rem; text-transform: uppercase; letter-spacing: .05em;
  color: var(--quiet) }}
section.user {{ border-left: 3px solid var(--user); padding-left: 1rem }}
section.user > h2 {{ color: var(--user) }}
section.note {{ color: var(--quiet); font-size: .9rem }}
.plain {{ white-space: pre-wrap; margin: 0 }}
pre {{ background: var(--box); border: 1px solid var(--line); border-radius: 6px; padding: .75rem; overflow-x: auto;
  white-space: pre-wrap; font: .8125rem/1.5 ui-monospace, monospace; margin: .5rem 0 }}
code {{ font: .875em ui-monospace, monospace; background: var(--box); padding: .1em .3em; border-radius: 4px }}
pre code {{ background: none; padding: 0; font: inherit }}
details {{ border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .25rem .75rem }}
summary {{ cursor: pointer; font: .8125rem/1.8 ui-monospace, monospace }}
details.failed > summary {{ color: var(--failed) }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
th, td {{ border: 1px solid var(--line); padding: .25rem .6rem; text-align: left }}
img {{ max-width: 100% }}
a {{ color: inherit }}
.arg {{ color: var(--quiet); font-size: .8125rem; margin: .5rem 0 0 }}
</style>
</head>
<body>
"""


def to_html(conversation: Conversation) -> str:
    """Return the page: text is escaped, hidden characters are made visible, replies are rendered as Markdown."""
    return "\n".join(_page(conversation)) + "\n"


def _page(conversation: Conversation) -> Iterator[str]:
    title = _safe(" ".join(conversation.title.split()) or "Untitled thread")
    yield _HEAD.format(title=title)
    yield f"<h1>{title}</h1>\n<dl>"
    yield from (f"<dt>{_safe(name)}</dt><dd>{_safe(value)}</dd>" for name, value in metadata(conversation))
    yield "</dl>\n<main>"
    markdown, results = _renderer(), conversation.results()
    for place, message in enumerate(conversation.messages):
        if message.role != "tool":
            yield from _section(message, markdown)
            yield from (_call(call, results.get((place, call.id))) for call in message.calls)
            yield "</section>"
    yield "</main>\n</body>\n</html>"


def _renderer() -> "MarkdownIt":
    """Return a Markdown renderer without raw HTML and without images, which a browser would load."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable(["image"])


def _section(message: Message, markdown: "MarkdownIt") -> Iterator[str]:
    time = f' title="{_safe(local_time(message.time))}"' if message.time is not None else ""
    yield f'<section class="{message.role}"><h2{time}>{ROLE_NAMES[message.role]}</h2>'
    if message.reasoning.strip():
        yield f"<details><summary>Reasoning</summary><p class=plain>{_safe(message.reasoning.strip())}</p></details>"
    if message.text.strip():
        yield _text(message, markdown)
    yield from (_image(url) for url in message.images)


def _text(message: Message, markdown: "MarkdownIt") -> str:
    if message.role == "assistant" and len(message.text) <= MAX_MARKDOWN:
        return str(markdown.render(visible(message.text.strip()))).rstrip()
    return f"<p class=plain>{_safe(message.text.strip())}</p>"


def _image(url: str) -> str:
    if url.startswith("data:image/"):
        return f'<img alt="image" src="{escape(url, quote=True)}">'
    return f"<p class=plain>image: {_safe(url)}</p>"


def _call(call: Call, result: Message | None) -> str:
    failed = result is not None and not result.ok
    text = "No result." if result is None else result.text
    expanded = " open" if len(text.splitlines()) <= MAX_EXPANDED_LINES else ""
    kind = ' class="failed"' if failed else ""
    summary = f"<summary>{_safe(call.name)} {_safe(_summary(call.args))}{' (failed)' if failed else ''}</summary>"
    return f"<details{kind}{expanded}>{summary}{''.join(_arguments(call.args))}<pre>{_safe(text)}</pre></details>"


def _summary(args: Mapping[str, Any]) -> str:
    """Return the beginning of the first text argument, which usually shows the purpose of the call."""
    first = next((value for value in args.values() if isinstance(value, str)), "")
    return " ".join(first[:1000].split())[:MAX_SUMMARY]


def _arguments(args: Mapping[str, Any]) -> Iterator[str]:
    for name, value in args.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
        yield f"<p class=arg>{_safe(name)}</p><pre>{_safe(text)}</pre>"


def _safe(text: str) -> str:
    return escape(visible(text), quote=True)
