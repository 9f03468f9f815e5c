"""The page that shows the settings in effect. They are changed in their files."""

import json
from collections.abc import Iterable
from typing import Any

from ml_intern.outbound.exporting.html_code import safe
from ml_intern.server.web.pages.layout import PageFrame


def settings_page(frame: PageFrame, settings: Iterable[tuple[str, Any, str]], notes: Iterable[str]) -> str:
    """Return the page. Each setting has its path, its value without secrets, and its source."""
    rows = "".join(_row(path, json.dumps(value, ensure_ascii=False), source) for path, value, source in settings)
    said = "".join(f'<p class="notice">{safe(note)}</p>' for note in notes)
    body = (
        '<header class="bar"><a class="back" href="/" aria-label="All threads">&lsaquo;</a><h1>Settings</h1></header>'
        f'<main id="main"><p class="notice">The settings of new threads in the server\'s folder. '
        "Change them in the files that <code>ml-intern config path</code> lists.</p>"
        f"{said}<table><thead><tr><th>Setting</th><th>Value</th><th>From</th></tr></thead><tbody>{rows}</tbody></table></main>"
    )
    return frame.page("Settings", body, "settings")


def _row(path: str, value: str, source: str) -> str:
    return f'<tr><th scope="row">{safe(path)}</th><td>{safe(value)}</td><td>{safe(source)}</td></tr>'
