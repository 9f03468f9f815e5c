"""The pages of searches: the list, one search with its curve and tree, and one attempt with its change."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from ml_intern.outbound.exporting.html_chart import chart
from ml_intern.outbound.exporting.html_code import code, safe
from ml_intern.search.record import SearchRecord
from ml_intern.search.tree import Attempt
from ml_intern.search.views.rows import AttemptRow, attempt_rows, metric_text, progress
from ml_intern.server.web.pages.layout import PageFrame, ago, definitions
from ml_intern.text.formatting import duration, money, plural


def searches_page(frame: PageFrame, rows: str) -> str:
    """Return the page with all searches. `rows` is the list as HTML."""
    body = f'{_bar("Searches", "/")}<main id="main">{_refreshed("/searches/rows", rows)}</main>'
    return frame.page("Searches", body, "threads")


def search_rows(searches: Sequence[SearchRecord]) -> str:
    """Return the list of searches."""
    if not searches:
        return '<p class="empty">No searches yet. Start one with <code>ml-intern improve</code> in a terminal.</p>'
    return f'<ul class="list">{"".join(map(_listed, searches))}</ul>'


def _listed(search: SearchRecord) -> str:
    best = search.tree.best
    about = (
        "/".join(PurePosixPath(search.plan.folder).parts[-2:]), search.state, _tried(search),
        money(search.spent_usd), ago(search.finished or search.started),
    )  # fmt: skip
    metric = f"<span class=metric>best {safe(metric_text(best.score))}</span>" if best else ""
    return (
        f'<li><a href="/s/{safe(search.search_id)}"><span class="title">{safe(_title(search))}</span>{metric}'
        f'<span class="about">{safe(" · ".join(about))}</span></a></li>'
    )


def search_page(frame: PageFrame, search: SearchRecord) -> str:
    """Return the page of a search."""
    url = f"/s/{safe(search.search_id)}"
    body = f'{_bar(_title(search), "/searches")}<main id="main">{_refreshed(f"{url}/part", search_part(search))}</main>'
    return frame.page(_title(search), body, "search")


def search_part(search: SearchRecord) -> str:
    """Return what changes while a search runs: its state, the curve and the tree."""
    steps, dots = progress(search.tree)
    budget = "" if search.limits.budget_usd is None else f" of {money(search.limits.budget_usd)}"
    about = definitions((
        ("State", f"{search.state}{f': {search.why}' if search.why else ''}"),
        ("Task", search.plan.task),
        ("Attempts", f"{_tried(search)}, {len(search.tree.running)} running"),
        ("Best", metric_text(search.tree.best.score) if search.tree.best else ""),
        ("Winner", _winner(search)),
        ("Cost", f"{money(search.spent_usd)}{budget}"),
        ("Time", duration(search.seconds)),
    ))  # fmt: skip
    url = f"/s/{safe(search.search_id)}"
    names = "".join(f"<th>{name}</th>" for name in ("Attempt", "Metric", "State", "Cost", "Idea", "Reason"))
    rows = "".join(_attempt_row(row, url) for row in attempt_rows(search.tree))
    curve = chart(search.plan.objective.metric, steps, dots, axis="attempt")
    table = f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>"
    return f'{about}<p><a href="{url}/report">Report</a></p>{curve}{table}'


def attempt_page(frame: PageFrame, search: SearchRecord, attempt: Attempt, diff: str) -> str:
    """Return the page of one attempt with its change against its parent."""
    about = definitions((
        ("Kind", attempt.kind),
        ("Parents", ", ".join(map(str, attempt.parents))),
        ("Idea", attempt.idea),
        ("State", attempt.state),
        ("Reason", attempt.why),
        ("Metric", metric_text(attempt.score)),
        ("Cost", money(attempt.cost_usd)),
        ("Branch", attempt.branch),
    ))  # fmt: skip
    thread = f'<p><a href="/t/{safe(attempt.thread_id)}">Its thread</a></p>' if attempt.thread_id else ""
    change = code(diff, "diff") if diff else '<p class="empty">No change.</p>'
    title = f"Attempt {attempt.number} of {_title(search)}"
    body = f'{_bar(title, f"/s/{safe(search.search_id)}")}<main id="main">{about}{thread}{change}</main>'
    return frame.page(title, body, "search")


def _attempt_row(row: AttemptRow, url: str) -> str:
    one = row.attempt
    number = f'<a href="{url}/{one.number}">{one.number}</a>'
    name = f"{safe(row.lines)}{number}{safe(row.name.removeprefix(f'{row.lines}{one.number}'))}"
    cells = "".join(f"<td>{safe(text)}</td>" for text in (*row.cells[1:], one.why))
    return f'<tr class="{one.state}{" best" if row.best else ""}"><td class="tree">{name}</td>{cells}</tr>'


def _winner(search: SearchRecord) -> str:
    end = search.conclusion
    if end is None:
        return ""
    return f"attempt {end.winner}" if end.winner is not None else f"none: {end.why}"


def _tried(search: SearchRecord) -> str:
    return plural(max(len(search.tree.attempts) - 1, 0), "attempt")


def _title(search: SearchRecord) -> str:
    return f"{search.plan.objective} ({search.search_id})"


def _bar(title: str, back: str) -> str:
    link = f'<a class="back" href="{back}" aria-label="Back">&lsaquo;</a>'
    return f'<header class="bar">{link}<h1>{safe(title)}</h1></header>'


def _refreshed(url: str, html: str) -> str:
    return f'<div id="rows" hx-get="{url}" hx-trigger="every 3s" hx-swap="innerMorph">{html}</div>'
