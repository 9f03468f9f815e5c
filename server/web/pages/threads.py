"""The page with all threads: those that need an answer first, then those that work, then the others."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ml_intern.outbound.conversation import Call
from ml_intern.outbound.exporting.html_calls import call_title
from ml_intern.outbound.exporting.html_code import safe
from ml_intern.server.web.pages.layout import PageFrame, ago, badge, button, post
from ml_intern.text.formatting import plural, spent

GROUPS = (("waiting", "Needs your answer"), ("running", "Working"), ("", "All others"))
Listed = Mapping[str, Any]


def threads_page(frame: PageFrame, rows: str, folders: Sequence[str], *, admin: bool, name: str = "") -> str:
    """Return the page. `rows` is the list as HTML, `folders` are offered for a new thread.

    Without folders, a new thread gets one of its own. Only admins use searches and settings. `name` is the user who can
    sign out, if any.
    """
    pages = '<a href="/searches">Searches</a><a href="/settings">Settings</a>' if admin else ""
    leave = post("/logout", button(f"Sign out {name}", "quiet"), "Sign out") if name else ""
    body = (
        '<header class="bar"><h1>ml-intern</h1><nav class="menu" aria-label="Pages">'
        f"{pages}"
        f'<button type="button" id="notify" class="quiet" hidden>Notify me</button>{leave}</nav></header>'
        f'<main id="main">{_new_thread(folders)}'
        f'<div id="rows" hx-get="/rows" hx-trigger="load, every 3s" hx-swap="innerMorph">{rows}</div></main>'
    )
    return frame.page("ml-intern", body, "threads")


def thread_rows(rows: Sequence[Listed], asked: Mapping[str, Sequence[Listed]], metrics: Mapping[str, str]) -> str:
    """Return the list. `asked` are the pending requests and `metrics` the measurements of each thread, by id."""
    if not rows:
        return '<p class="empty">No threads yet. Start one above, or with <code>ml-intern</code> in a terminal.</p>'
    parts = []
    for state, title in GROUPS:
        own = [row for row in rows if (row["state"] if row["state"] in ("waiting", "running") else "") == state]
        if own:
            items = "".join(_row(row, asked.get(row["id"], ()), metrics.get(row["id"], "")) for row in own)
            parts.append(
                f'<section aria-label="{title}"><h2 class="role">{title}</h2><ul class="list">{items}</ul></section>'
            )
    return "".join(parts)


def _row(row: Listed, asked: Sequence[Listed], metric: str) -> str:
    questions = [
        str(one["description"])
        if one["name"] == "question"
        else f"{one['name']} {call_title(Call('', one['name'], one['args']))}"
        for one in asked
    ]
    folder = "/".join(PurePosixPath(row["folder"]).parts[-2:])
    about = " · ".join(
        filter(
            None,
            (
                folder,
                plural(row["turns"], "turn"),
                spent(row["cost_usd"], row["unpriced_requests"]),
                ago(row["updated"]),
            ),
        )
    )
    return (
        f'<li id="row-{safe(row["id"])}"><a href="/t/{safe(row["id"])}">'
        f'<span class="title">{safe(row["title"] or "Untitled thread")}</span>{badge(row["state"])}'
        f"{''.join(f'<span class=asks>{safe(one)}</span>' for one in questions)}"
        f"{f'<span class=metric>{safe(metric)}</span>' if metric else ''}"
        f'<span class="about">{safe(about)}</span></a></li>'
    )


def _new_thread(folders: Sequence[str]) -> str:
    options = "".join(f'<option value="{safe(folder)}">' for folder in folders)
    first = safe(folders[0]) if folders else ""
    place = (
        '<label for="folder">Folder</label>'
        f'<input id="folder" name="folder" list="folders" value="{first}" required spellcheck="false">'
        f'<datalist id="folders">{options}</datalist>'
    )
    clone = (
        '<label for="repository">Repository to clone</label>'
        '<input id="repository" name="repository" type="url" placeholder="https://github.com/OWNER/NAME" '
        'spellcheck="false">'
    )
    fields = (
        '<label for="text">What should ml-intern do?</label>'
        '<textarea id="text" name="text" rows="2" required data-grow></textarea>'
        f"<details><summary>{f'In {first}' if first else 'Repository and model'}</summary>{place if first else clone}"
        '<label for="model">Model</label>'
        '<input id="model" name="model" placeholder="as in the settings" spellcheck="false">'
        "</details>"
    )
    return post("/new", fields + button("Start", "primary"), "New thread", "card new")
