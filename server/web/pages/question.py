"""The pending approval as a form: approve, approve always, reject with a reason, or change the arguments."""

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_intern.outbound.conversation import Call
from ml_intern.outbound.exporting.html_calls import arguments_html, call_title
from ml_intern.outbound.exporting.html_code import code, safe
from ml_intern.server.web.pages.layout import button, hidden, post
from ml_intern.text.clients import answered_from
from ml_intern.text.file_changes import changes_file, file_change
from ml_intern.text.formatting import and_more

SCOPES = {"thread": "Always in this thread", "folder": "Always in this folder"}
Request = Mapping[str, Any]
MAX_DIFF_LINES = 400


def question_html(asked: Mapping[str, Any], url: str, folder: str) -> str:
    """Return the form that answers all requests at once. `folder` is the folder of the thread."""
    requests: Sequence[Request] = asked["requests"]
    several = len(requests) > 1
    cards = "".join(_request(number, one, folder, several=several) for number, one in enumerate(requests))
    head = f"<h2>{'Question' if requests[0]['name'] == 'question' else 'May I do this?'}</h2>"
    return post(url, hidden(do="answer") + head + cards + _buttons(requests), "Pending approval", "card question")


def answered_html(answered: Mapping[str, Any]) -> str:
    """Say who answered the last approval."""
    words = {"approve": "approved", "edit": "approved with changes", "reject": "rejected", "respond": "answered"}
    kinds = ", ".join(dict.fromkeys(words.get(kind, kind) for kind in answered["answers"].values()))
    where = answered_from(answered["by"], answered["device"])
    return f'<p class="notice note">{safe(kinds or "answered")} {safe(where)}</p>'


def _request(number: int, request: Request, folder: str, *, several: bool) -> str:
    id = f'<input type="hidden" name="id.{number}" value="{safe(request["id"])}">'
    if request["name"] == "question":
        return f'{id}<p class="plain">{safe(request["description"])}</p>{_reason(number, "Answer (optional)")}'
    call = Call(request["id"], request["name"], request["args"])
    arguments = json.dumps(request["args"], indent=2, ensure_ascii=False)
    edit = (
        f'<details><summary>Change the arguments</summary><textarea name="args.{number}" rows="6" class="code" '
        f'spellcheck="false" aria-label="Arguments as JSON" data-grow>{safe(arguments)}</textarea></details>'
    )
    original = f'<input type="hidden" name="was.{number}" value="{safe(arguments)}">'
    return (
        f"<fieldset><legend><b>{safe(call.name)}</b> {safe(call_title(call))}</legend>{id}{original}"
        f'<div class="arguments">{_effect(call, folder)}</div><p class="why">{safe(request["description"])}</p>'
        f"{_choice(number) if several else ''}{edit}{_reason(number, 'Reason, if you reject it')}</fieldset>"
    )


def _effect(call: Call, folder: str) -> str:
    """Return the diff of a call that changes a file, else its arguments."""
    if not changes_file(call.name, call.args):
        return arguments_html(call)
    before, after = file_change(call.args, Path(folder))
    lines = list(difflib.unified_diff((before or "").splitlines(), after.splitlines(), lineterm="", n=2))[2:]
    if len(lines) > MAX_DIFF_LINES:
        lines = [*lines[:MAX_DIFF_LINES], f"@@ {and_more(len(lines), MAX_DIFF_LINES, 'line')} @@"]
    name = f"{call.args['path']}{' (new)' if before is None else ''}"
    return f'<p class="arg">{safe(name)}</p>' + (code("\n".join(lines), "diff") if lines else "No change.")


def _choice(number: int) -> str:
    options = "".join(f'<option value="{value}">{value.capitalize()}</option>' for value in ("approve", "reject"))
    return f'<label>Answer <select name="answer.{number}">{options}</select></label>'


def _reason(number: int, label: str) -> str:
    return f'<input name="reason.{number}" placeholder="{label}" aria-label="{label}" autocomplete="off">'


def _buttons(requests: Sequence[Request]) -> str:
    always = any(request.get("always") for request in requests)
    scopes = (
        "".join(button(label, "small", name="all", value=scope) for scope, label in SCOPES.items()) if always else ""
    )
    yes = "Yes" if requests[0]["name"] == "question" else "Approve"
    no = "No" if requests[0]["name"] == "question" else "Reject"
    main = button(yes, "primary", name="all", value="approve") + button(no, "danger", name="all", value="reject")
    each = button("Send these answers", "", name="all", value="each") if len(requests) > 1 else ""
    if len(requests) > 1:
        main = main.replace(f">{yes}<", f">{yes} all<").replace(f">{no}<", f">{no} all<")
    return f'<div class="actions">{main}{each}</div><div class="actions more">{scopes}</div>'
