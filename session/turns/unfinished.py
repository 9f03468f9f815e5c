"""Calls that are closed instead of run on: what still runs of them ends, and journal and conversation say so."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import call_mark
from ml_intern.execution.process.sessions import end_all
from ml_intern.graph.state import as_run, open_calls, result_message

if TYPE_CHECKING:
    from ml_intern.session.turns.turns import Turns
    from ml_intern.store.journal import JournalRow


async def close_strays(turns: "Turns", message_id: str, why: str) -> list[str]:
    """Close the thread's open calls but those of one message: commands the user ran by hand. Their tools' names."""
    rows = [row for row in await turns.services.store.journal.open(turns.thread_id) if row.key.message_id != message_id]
    for row in rows:
        await close_call(turns, row, why)
    return [row.tool for row in rows]


async def close_call(turns: "Turns", row: "JournalRow", why: str) -> None:
    """End what is left of a call that will not be run on, and note in the journal that it was cut off."""
    await _end_processes(turns, row, why)
    result = {"text": _unsure(why), "ok": False, "status": "interrupted"}
    await turns.services.store.journal.finish(row.key, result)


async def _end_processes(turns: "Turns", row: "JournalRow", why: str) -> None:
    """End the processes of a call, and the sub-agent it waited for. What else it started lives on by intent."""
    if row.handle is None:
        await end_all(None, call_mark(row.key))
        return
    store = turns.services.store
    child = await store.threads.get(row.handle)
    if child is not None and child.child:
        async with store.hold(child.id):
            await replace(turns, thread_id=child.id).close_open(why)


def closing_results(values: Mapping[str, Any], rows: "Mapping[int, JournalRow]", why: str) -> dict[str, Any]:
    """What to write to a state so that its open calls have results; `rows` is what the journal knows of each."""
    message, calls = open_calls(values.get("messages", []))
    update: dict[str, Any] = {}
    if message is None:
        return update
    taint, decisions = list(values.get("taint") or []), values.get("decisions") or {}
    update["messages"] = []
    for call in calls:
        row = rows.get(next(i for i, one in enumerate(message.tool_calls) if one["id"] == call["id"]))
        text, ok = _closing(row, why)
        said = as_run(text, decisions.get(call["id"] or "", {}) if row else {})
        result = (row.result if row else None) or {}
        images = result.get("images") or ()
        update["messages"].append(result_message(call, message, said, ok=ok, images=images))
        update.update(result.get("state") or {})
        taint += [source for source in result.get("taint") or [] if source not in taint]
    return {**update, "taint": taint}


def _closing(row: "JournalRow | None", why: str) -> tuple[str, bool]:
    """Text and success of a call that is closed instead of run on."""
    if row is None:
        return f"Not run: {why}.", False
    if row.status == "started":
        return _unsure(why), False
    if row.result is None:
        return "It ran; its result was not kept.", True
    return str(row.result["text"]), bool(row.result["ok"])


def _unsure(why: str) -> str:
    return f"Interrupted ({why}); it may have run in part. Check before you repeat it."
