"""The forms of the pages as operations of the session."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from ml_intern.configs.errors import UsageError
from ml_intern.server.web.callers import Caller
from ml_intern.server.web.devices import with_device
from ml_intern.server.web.numbers import whole_number
from ml_intern.server.web.watching.watched import WatchedThread

Form = Mapping[str, str]
Operation = dict[str, Any]
MAX_REQUESTS = 200
MAX_TURNS = 10_000
SCOPES = ("thread", "folder")


def operations_of(form: Form) -> list[Operation]:
    """Return the operations that a form asks for. Raises UsageError."""
    make = FORMS.get(form.get("do", ""))
    if make is None:
        raise UsageError(f"unknown form {form.get('do', '')[:50]!r}", "reload the page")
    return make(form)


async def submit_form(thread: WatchedThread, form: Form, caller: Caller, user_agent: str) -> None:
    """Submit what a form asks for, in a session that is started if no process runs the thread. Raises MLInternError."""
    operations = operations_of(form)
    await caller.check(thread.thread_id, operations or [{"type": "continue"}])
    if not operations:
        await (await thread.linked()).proceed()
    for operation in operations:
        await thread.submit(with_device(operation, user_agent))


def _say(form: Form) -> list[Operation]:
    return [{"type": "user_input", "text": _text(form)}]


def _steer_with(form: Form) -> list[Operation]:
    id = uuid4().hex
    return [{"type": "user_input", "text": _text(form), "id": id}, {"type": "steer", "id": id}]


def _answer(form: Form) -> list[Operation]:
    """Answer every request of an approval: all in one way, or each in its own."""
    numbers = [name.partition(".")[2] for name in form if name.startswith("id.")][:MAX_REQUESTS]
    decisions = {form[f"id.{number}"]: _decision(form, number) for number in numbers}
    if not decisions:
        raise UsageError("the form answers nothing", "reload the page")
    return [{"type": "exec_approval", "decisions": decisions}]


def _decision(form: Form, number: str) -> dict[str, Any]:
    answer, reason = form.get("all", ""), form.get(f"reason.{number}", "").strip()
    if answer == "each":
        answer = form.get(f"answer.{number}", "")
    if answer == "reject":
        return {"type": "reject", "message": reason} if reason else {"type": "reject"}
    if answer not in ("approve", *SCOPES):
        raise UsageError("an answer is missing", "approve or reject each call")
    if (changed := _changed_arguments(form, number)) is not None:
        return {"type": "edit", "args": changed}
    return {"type": "approve", **({"always": answer} if answer in SCOPES else {})}


def _changed_arguments(form: Form, number: str) -> dict[str, Any] | None:
    """Return the arguments if the user changed them. Raises UsageError."""
    before, after = (_unix(form.get(f"{name}.{number}", "")) for name in ("was", "args"))
    if before == after:
        return None
    try:
        args = json.loads(after)
    except ValueError as error:
        raise UsageError(f"the changed arguments are not valid JSON: {error}", "correct them, or reload") from error
    if not isinstance(args, dict):
        raise UsageError("the changed arguments are not a JSON object", "correct them, or reload")
    return args


def _edit_queued(form: Form) -> list[Operation]:
    return [{"type": "edit_queued", "id": form.get("id", ""), "text": _text(form)}]


def _undo(form: Form) -> list[Operation]:
    return [{"type": "undo", "turns": turns_of(form), "files": form.get("files", "both")}]


def turns_of(form: Form) -> int:
    """Return the number of turns to undo. Raises UsageError."""
    turns = whole_number(form.get("turns", "1"))
    if turns is None or not 0 < turns <= MAX_TURNS:
        raise UsageError("the number of turns is not valid", "undo at least one turn")
    return turns


def _rename(form: Form) -> list[Operation]:
    return [{"type": "rename", "title": _text(form)}]


def _mode(form: Form) -> list[Operation]:
    return [{"type": "set_mode", "mode": form.get("mode", "")}]


def _model(form: Form) -> list[Operation]:
    return [{"type": "set_model", "model": _text(form)}]


def _by_id(type: str) -> Callable[[Form], list[Operation]]:
    return lambda form: [{"type": type, "id": form.get("id", "")}]


FORMS: Mapping[str, Callable[[Form], list[Operation]]] = {
    "say": _say,
    "steer_with": _steer_with,
    "answer": _answer,
    "interrupt": lambda _: [{"type": "interrupt"}],
    "continue": lambda _: [],
    "steer": _by_id("steer"),
    "unqueue": _by_id("unqueue"),
    "edit_queued": _edit_queued,
    "undo": _undo,
    "redo": lambda _: [{"type": "redo"}],
    "rename": _rename,
    "compact": lambda _: [{"type": "compact"}],
    "mode": _mode,
    "model": _model,
}
"""The forms by the value of their field `do`."""


def _text(form: Form) -> str:
    text = _unix(form.get("text", "")).strip()
    if not text:
        raise UsageError("the message is empty", "write something")
    return text


def _unix(text: str) -> str:
    """Return a text with the line ends that it had before a browser sent it."""
    return text.replace("\r\n", "\n")
