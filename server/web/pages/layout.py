"""The frame of every page, and small pieces of HTML that pages share."""

import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from ml_intern.outbound.exporting.html_code import safe

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
STATES = {
    "running": "working",
    "waiting": "needs your answer",
    "interrupted": "interrupted",
    "idle": "idle",
    "lost": "ended unexpectedly",
}
"""The words for the states of a thread."""


CSRF: ContextVar[str] = ContextVar("csrf", default="")
"""The token against forged requests that the pages of the current request send with every change."""


@dataclass(frozen=True)
class PageFrame:
    """The part that every page needs: the hashed names of the static files."""

    files: dict[str, str]

    def page(self, title: str, body: str, kind: str) -> str:
        """Return a page. `title` is plain text, `body` is HTML, `kind` names the page for the style sheet."""
        styles = "".join(f'<link rel="stylesheet" href="{self.files[name]}">' for name in ("thread.css", "web.css"))
        names = ("htmx.min.js", "hx-sse.min.js", "web.js")
        scripts = "".join(f'<script defer src="{self.files[name]}"></script>' for name in names)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content">'
            '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
            '<meta name="htmx-config" content=\'{"includeIndicatorCSS":false,"history":false}\'>'
            f'<title>{safe(title)}</title><link rel="icon" href="{self.files["icon.svg"]}">'
            '<link rel="manifest" href="/manifest.webmanifest" crossorigin="use-credentials">'
            f"{styles}{scripts}</head>"
            f'<body class="{kind}" hx-headers:inherited=\'{{"x-csrf": "{CSRF.get()}"}}\'>'
            f'<a class="skip" href="#main">Skip to content</a>{body}'
            '<div id="errors" role="alert"></div></body></html>\n'
        )


def badge(state: str) -> str:
    """Return the state of a thread as a coloured word."""
    known = state if state in STATES else "idle"
    return f'<span class="badge {known}" data-state="{known}">{STATES[known]}</span>'


def ago(then: float) -> str:
    """Return how long ago a time was, in its largest unit."""
    passed = max(time.time() - then, 0)
    if passed < _MINUTE:
        return "just now"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if passed >= unit:
            return f"{int(passed // unit)} {name} ago"
    return ""


def post(url: str, fields: str, label: str = "", kind: str = "") -> str:
    """Return a form that is sent without leaving the page. `fields` is HTML; `label` names the form for readers."""
    named = f' aria-label="{safe(label)}"' if label else ""
    return f'<form class="{kind}" hx-post="{url}" hx-swap="none"{named}>{fields}</form>'


def button(label: str, kind: str = "", **attributes: str) -> str:
    """Return a button that sends its form. `name` and `value` go into the request."""
    more = "".join(f' {name.replace("_", "-")}="{safe(value)}"' for name, value in attributes.items())
    return f'<button class="{kind}"{more}>{safe(label)}</button>'


def hidden(**values: str) -> str:
    """Return hidden fields."""
    return "".join(f'<input type="hidden" name="{name}" value="{safe(value)}">' for name, value in values.items())


def definitions(pairs: Iterable[tuple[str, str]], kind: str = "") -> str:
    """Return names and values as a list; both are plain text, and empty values are left out."""
    rows = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in pairs if value)
    return f'<dl class="{kind}">{rows}</dl>'
