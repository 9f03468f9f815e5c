"""Close unfinished calls: end their processes, and record the result in the journal and the conversation."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import call_mark
from ml_intern.execution.process.sessions import end_processes
from ml_intern.graph.state import as_run, open_calls, result_message

if TYPE_CHECKING:
    from ml_intern.store.journal import CallKey, JournalRow
    from ml_intern.store.store import Store


@dataclass(frozen=True)
class UnfinishedCalls:
    """The journal's unfinished calls of one thread."""

    store: "Store"
    thread_id: str
    close_thread: Callable[[str, str], Awaitable[object]]
    """Closes the open calls of a sub-agent's thread, given its id and the reason."""

    async def close_other(self, message_id: str, why: str) -> "list[JournalRow]":
        """Close the open calls of all messages but one: commands the user ran by hand. Return their rows."""
        rows = [row for row in await self.store.journal.open_calls(self.thread_id) if row.key.message_id != message_id]
        for row in rows:
            await self.close(row, why)
        return rows

    async def close(self, row: "JournalRow", why: str) -> None:
        """End what is left of a call that will not be continued, and record in the journal that it was interrupted."""
        await self._end_processes(row, why)
        result = {"text": _unsure(why), "ok": False, "status": "interrupted"}
        await self.store.journal.finish(row.key, result)

    async def _end_processes(self, row: "JournalRow", why: str) -> None:
        """End the processes of a call and the sub-agent it waited for. Anything else it started runs on by design."""
        if row.handle is None:
            await end_processes(None, call_mark(row.key))
            return
        child = await self.store.threads.get(row.handle)
        if child is not None and child.child:
            async with self.store.hold(child.id):
                await self.close_thread(child.id, why)


def closing_results(values: Mapping[str, Any], rows: "Mapping[int, JournalRow]", why: str) -> dict[str, Any]:
    """Return the state update that gives every open call a result. `rows` are their journal rows by call index."""
    message, calls = open_calls(values.get("messages", []))
    update: dict[str, Any] = {}
    if message is None:
        return update
    taint, decisions = list(values.get("taint") or []), values.get("decisions") or {}
    update["messages"] = []
    for call in calls:
        row = rows.get(next(i for i, one in enumerate(message.tool_calls) if one["id"] == call["id"]))
        text, ok = _closing(row, why)
        text = as_run(text, decisions.get(call["id"] or "", {}) if row else {})
        result = (row.result if row else None) or {}
        shown = {"images": result.get("images") or (), "written": result.get("images_written") or ()}
        update["messages"].append(result_message(call, message, text, ok=ok, **shown))
        update.update(result.get("state") or {})
        taint += [source for source in result.get("taint") or [] if source not in taint]
    return {**update, "taint": taint}


def called_args(values: Mapping[str, Any], key: "CallKey") -> Mapping[str, Any] | None:
    """Return the arguments with which an open call ran, or None if the conversation does not have them."""
    message, _ = open_calls(values.get("messages", []))
    if message is None or message.id != key.message_id or key.index >= len(message.tool_calls):
        return None
    call = message.tool_calls[key.index]
    decision = (values.get("decisions") or {}).get(call["id"] or "", {})
    return decision["args"] if decision.get("type") == "edit" else call["args"]


def _closing(row: "JournalRow | None", why: str) -> tuple[str, bool]:
    """Return the result text and the success of a call that is closed."""
    if row is None:
        return f"Not run: {why}.", False
    if row.status == "started":
        return _unsure(why), False
    if row.result is None:
        return "The call ran, but its result was not saved.", True
    return str(row.result["text"]), bool(row.result["ok"])


def _unsure(why: str) -> str:
    return f"Interrupted ({why}); it may have run in part. Check before you repeat it."
