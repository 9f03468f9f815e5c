"""The panels beside a conversation: runs with charts, changed files, images, evidence, and turns to undo or fork."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from ml_intern.graph.limits import ApprovalMode
from ml_intern.outbound.exporting.formats import FORMATS
from ml_intern.outbound.exporting.html_calls import call_html, image
from ml_intern.outbound.exporting.html_chart import chart
from ml_intern.outbound.exporting.html_code import safe
from ml_intern.outbound.exporting.pictures import Picture
from ml_intern.server.web.pages.layout import button, definitions, hidden, post
from ml_intern.server.web.watching.timeline import Timeline
from ml_intern.text.formatting import duration, money, plural

MAX_CHARTS = 4
CHANGING = ("edit", "write", "notebook")
MODES = get_args(ApprovalMode)
CLAIM_WORDS = {
    "reproduced": "reproduced",
    "held": "supported",
    "unsupported": "not supported",
    "contradicted": "contradicted",
}
Data = Mapping[str, Any]


def runs_panel(runs: Sequence[Data]) -> str:
    """Return the background runs, the latest first, with a chart of each important metric."""
    return "".join(_run(one) for one in reversed(runs)) or _nothing("No background runs.")


def _run(one: Data) -> str:
    run = one["run"]
    charts = "".join(chart(name, points) for name, points in list(one["points"].items())[:MAX_CHARTS])
    log = f'<details><summary>End of the log</summary><pre tabindex="0">{safe(run["tail"])}</pre></details>'
    about = (("Command", run["command"]), ("Hardware", run["hardware"] or ""), ("Reason", run["reason"]))
    cost = money(run["cost_usd"]) if run["cost_usd"] is not None else ""
    return (
        f'<section class="run"><h3>{safe(run["name"] or run["id"])}</h3><p class="metric">{safe(one["status"])}</p>'
        f"{definitions((*about, ('Cost', cost)))}{charts}{log if run['tail'].strip() else ''}</section>"
    )


def files_panel(timeline: Timeline, pictures: Sequence[Picture]) -> str:
    """Return the changes by file, and the images that the thread made."""
    changes: dict[str, list[str]] = {}
    for block in timeline.blocks:
        for call in block.message.calls:
            result = block.results.get(call.id)
            if call.name in CHANGING and result is not None and result.ok:
                changes.setdefault(str(call.args.get("path", "")), []).append(call_html(call, result))
    files = "".join(_file(path, calls) for path, calls in changes.items())
    images = "".join(
        f"<figure>{image(one.url, one.name)}<figcaption>{safe(one.name)}</figcaption></figure>" for one in pictures
    )
    return (files + images) or _nothing("ml-intern changed no file with its tools.")


def _file(path: str, calls: Sequence[str]) -> str:
    summary = f"{safe(path)} <span>{plural(len(calls), 'change')}</span>"
    return f"<details><summary>{summary}</summary>{''.join(calls)}</details>"


def evidence_panel(card: Data) -> str:
    """Return the evidence card: answers with their claims, locked files, the programs that ran, and gaps."""
    answers = "".join(_answer(one) for one in card["answers"])
    locks = [(lock["path"], f"{lock['kind']}, {lock['changed'] or 'unchanged'}") for lock in card["locks"]]
    runs = "".join(_program(run) for run in card["runs"])
    gaps = "".join(f"<li>{safe(line)}</li>" for line in card["incomplete"])
    parts = (
        ("Answers", answers),
        ("Locked and watched files", definitions(locks) if locks else ""),
        ("Programs", f"<ul>{runs}</ul>" if runs else ""),
        ("Incomplete", f"<ul>{gaps}</ul>" if gaps else ""),
    )
    shown = "".join(f"<section><h3>{title}</h3>{html}</section>" for title, html in parts if html)
    return shown or _nothing("No evidence was recorded.")


def _answer(answer: Data) -> str:
    data = answer["evidence"]
    claims = "".join(
        f'<li class="{safe(one["state"])}">{CLAIM_WORDS.get(one["state"], safe(one["state"]))}: {safe(one["text"])}'
        f'<span class="why">{safe(one["evidence"])}</span></li>'
        for one in data["claims"]
    )
    findings = "".join(f'<li class="unsupported">{safe(one["message"])}</li>' for one in data["findings"])
    undone = ", undone" if answer["undone"] else ""
    head = f"{CLAIM_WORDS.get(data['status'], safe(data['status']))} (level {safe(data['level'])}{undone})"
    return f'<p class="metric">{head}</p><ul class="claims">{claims}{findings}</ul>'


def _program(run: Data) -> str:
    state = f"{run['state']} ({run['reason']})" if run["reason"] else run["state"]
    took = f"{safe(run['name'])}: {safe(state)}, {duration(run['seconds'])}"
    return f"<li>{took}<br><code>{safe(run['command'])}</code></li>"


def history_panel(url: str, turns: Sequence[Data], mode: str) -> str:
    """Return the turns, each with a preview of undo and fork, and the thread's other actions."""
    last = len(turns)
    items = "".join(_turn(url, turn, last - place) for place, turn in enumerate(turns))
    title = '<input name="text" aria-label="New title" placeholder="New title" required>' + button("Rename", "small")
    options = "".join(f"<option{' selected' if one == mode else ''}>{one}</option>" for one in MODES)
    modes = f'<select name="mode" aria-label="Approval mode">{options}</select>' + button("Set mode", "small")
    exports = "".join(f'<li><a href="{url}/export/{name}" download>{name}</a></li>' for name in FORMATS)
    return (
        f'<div id="preview" aria-live="polite"></div><ol class="turns">{items}</ol>'
        f"{post(f'{url}/do', hidden(do='redo') + button('Redo what was undone', 'small'), 'Redo', 'line')}"
        f"{post(f'{url}/do', hidden(do='compact') + button('Compact the conversation', 'small'), 'Compact', 'line')}"
        f"{post(f'{url}/do', hidden(do='rename') + title, 'Rename', 'line')}"
        f"{post(f'{url}/do', hidden(do='mode') + modes, 'Approval mode', 'line')}"
        f'<h3>Export</h3><ul class="exports">{exports}</ul>'
    )


def _turn(url: str, turn: Data, back: int) -> str:
    number = int(turn["number"])
    undo = _previewed(f"{url}/preview?do=undo&turns={back}", "Undo to before this")
    fork = _previewed(f"{url}/preview?do=fork&turn={number}", "Fork after this")
    title = f'<span class="title">{safe(turn["text"])}</span>'
    return f'<li value="{number}">{title}<span class="actions">{undo}{fork}</span></li>'


def _previewed(url: str, label: str) -> str:
    return f'<button class="small" hx-get="{safe(url)}" hx-target="#preview">{label}</button>'


def undo_preview(url: str, preview: Data, turns: int) -> str:
    """Return the effect of an undo with the forms that perform it."""
    words = {"changed": "is reverted", "created": "is restored", "removed": "is removed"}
    changed = [(one["path"], words[one["kind"]]) for one in preview["changes"]]
    changed += [(one["path"], "stays: it was changed elsewhere") for one in preview["kept"]]
    files = "".join(f"<li><code>{safe(path)}</code> {what}</li>" for path, what in changed)
    notes = "".join(f'<p class="notice">{safe(note)}</p>' for note in preview["notes"])
    scopes = (("both", "Undo", "danger small"), ("conversation", "Only the conversation", "small"))
    effect = f"<ul>{files}</ul>{notes}" if files or notes else _nothing("No file changes.")
    buttons = "".join(button(label, kind, name="files", value=scope) for scope, label, kind in scopes)
    form = post(f"{url}/do", hidden(do="undo", turns=str(turns)) + f'<div class="actions">{buttons}</div>', "Undo")
    return f'<div class="card"><h3>Undo {plural(preview["turns"], "turn")}</h3>{effect}{form}</div>'


def fork_preview(url: str, turn: Data) -> str:
    """Return the contents of a fork with the form that makes it."""
    form = post(f"{url}/fork", hidden(turn=str(turn["number"])) + button("Fork", "primary small"), "Fork")
    text = f"A new thread with the conversation up to the end of turn {turn['number']}: {turn['text']}"
    return f'<div class="card"><h3>Fork</h3><p class="plain">{safe(text)}</p>{form}</div>'


def _nothing(text: str) -> str:
    return f'<p class="notice">{text}</p>'
