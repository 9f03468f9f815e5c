"""Ctrl-R and Ctrl-O: choose an earlier message, and read the whole output of a call in a pager."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.terminal.blocks.call import REJECTION
from ml_intern.terminal.render.preview import preview, preview_text
from ml_intern.terminal.render.replay import NOT_RUN
from ml_intern.terminal.render.summary import call_summary, one_line
from ml_intern.terminal.views.outcome import Chosen
from ml_intern.terminal.views.picker import Item, PickerView

if TYPE_CHECKING:
    from ml_intern.outbound.conversation import Message
    from ml_intern.session.protocol import Session
    from ml_intern.terminal.input.reader import SessionTerminal

MAX_ITEMS = 300
PREVIEW_LINES = 8


async def choose_earlier(console: "SessionTerminal") -> None:
    """Let the user choose an earlier message and put it into the input line."""
    texts = list(dict.fromkeys(reversed(console.history.get_strings())))[:MAX_ITEMS]
    if not texts:
        console.hint("no earlier messages")
        return
    chosen = await _chosen(console, "Earlier messages", [(text, one_line(text, 200), "") for text in texts])
    if chosen is not None:
        console.replace(chosen)


async def read_outputs(console: "SessionTerminal", session: "Session", asked: Sequence[Mapping[str, Any]] = ()) -> None:
    """Let the user choose a call of the thread, the latest first, and show its whole output in a pager.

    A call that runs shows its output so far, and one of the `asked` requests what it would do.
    """
    messages = await session.history()
    calls = {call.id: call for message in messages for call in message.calls}
    rows = [_waiting(request, Path(session.options.workspace)) for request in reversed(asked)]
    rows += [
        (call.output() or "no output yet", call_summary(call.name, call.args), "running")
        for call in console.transcript.running_calls
    ]
    for message in reversed(messages):
        if message.role == "assistant" and message.reasoning.strip():
            rows.append((message.reasoning, "reasoning", ""))
        elif message.role == "tool":
            args = calls[message.call_id].args if message.call_id in calls else {}
            rows.append((message.text, call_summary(message.name, args), _outcome(message)))
    if not rows:
        console.hint("no outputs yet")
        return
    chosen = await _chosen(console, "Outputs, the latest first", rows[:MAX_ITEMS])
    if chosen is not None:
        await console.page(chosen)


def _waiting(request: Mapping[str, Any], workspace: Path) -> tuple[str, str, str]:
    name, args = request["name"], request["args"]
    return preview_text(preview(name, args, workspace)), call_summary(name, args), "waiting for your answer"


def _outcome(message: "Message") -> str:
    if message.ok:
        return ""
    if message.text.startswith(REJECTION):
        return "rejected"
    return "not run" if message.text.startswith(NOT_RUN) else "failed"


async def _chosen(console: "SessionTerminal", title: str, rows: Sequence[tuple[str, str, str]]) -> str | None:
    items = [Item(place, text, about) for place, (_, text, about) in enumerate(rows)]
    view = PickerView(title, items)
    for item, (whole, _, _) in zip(items, rows, strict=True):
        view.show(item, whole.strip().splitlines()[:PREVIEW_LINES])
    outcome = await console.choose(view, at_once=True)
    return rows[outcome.value][0] if isinstance(outcome, Chosen) else None
