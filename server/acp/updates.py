"""Events of a session, and the messages of a thread, as updates of an editor."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acp import helpers
from acp.schema import PlanEntryStatus, SessionInfoUpdate

from ml_intern.graph.events import Event
from ml_intern.outbound.conversation import Message
from ml_intern.server.acp.calls import Content, change_of, kind_of, locations_of, text_content, title_of
from ml_intern.text.clients import answered_from
from ml_intern.text.formatting import plural
from ml_intern.text.visible import visible

Update = helpers.SessionUpdate
Updates = Iterator[Update]
Data = Mapping[str, Any]
PLAN: Mapping[str, PlanEntryStatus] = {"in_progress": "in_progress", "done": "completed"}
DROPPED = "dropped"
MAX_LOG = 4_000
"""Characters of a running call's output that are shown."""
ANSWERS = {"approve": "approved", "edit": "approved with changes", "reject": "rejected", "respond": "answered"}


@dataclass
class ShownCall:
    """A call that the editor knows: its diff, and the output so far."""

    change: Sequence[Content] = ()
    log: str = ""


@dataclass
class UpdatesOfSession:
    """Translates the events of one session. `own` are the ids of messages and `name` the name of this client."""

    workspace: Path
    name: str
    own: set[str] = field(default_factory=set[str])
    _streamed: set[str] = field(default_factory=set[str])
    _calls: dict[str, ShownCall] = field(default_factory=dict[str, ShownCall])

    def of(self, event: Event) -> Updates:
        """Yield the updates that an event causes."""
        handler = HANDLERS.get(event.type)
        return handler(self, event.data) if handler is not None else iter(())

    def replay(self, messages: Iterable[Message]) -> Updates:
        """Yield the updates that show earlier messages."""
        for message in messages:
            if message.role == "user":
                yield helpers.update_user_message_text(message.text)
            elif message.role == "assistant":
                yield from self._message(message.text, message.reasoning)
                for call in message.calls:
                    yield self._start(call.id, call.name, call.args, is_past=True)
            elif message.role == "tool":
                yield self._end(message.call_id, message.text, ok=message.ok)

    # --- events

    def _ready(self, data: Data) -> Updates:
        for note in data["notes"]:
            yield _thought(note)

    def _processing(self, data: Data) -> Updates:
        if data["id"] not in self.own and data["text"]:
            yield helpers.update_user_message_text(data["text"])

    def _chunk(self, data: Data) -> Updates:
        self._streamed.add(data["message_id"])
        if data["kind"] == "reasoning":
            yield helpers.update_agent_thought_text(data["text"])
        else:
            yield helpers.update_agent_message_text(data["text"])

    def _assistant_message(self, data: Data) -> Updates:
        if data["message_id"] not in self._streamed:
            yield from self._message(data["text"], data["reasoning"])
        for call in data["tool_calls"]:
            if call["id"] not in self._calls:
                yield self._start(call["id"], call["name"], call["args"])

    def _tool_call(self, data: Data) -> Updates:
        if data["id"] not in self._calls:
            yield self._start(data["id"], data["name"], data["args"])
        yield helpers.update_tool_call(data["id"], status="in_progress", raw_input=data["args"])

    def _log(self, data: Data) -> Updates:
        call = self._calls.setdefault(data["id"], ShownCall())
        call.log = (call.log + data["text"])[-MAX_LOG:]
        yield helpers.update_tool_call(data["id"], content=[*call.change, *text_content(call.log)])

    def _output(self, data: Data) -> Updates:
        if data["id"] not in self._calls:
            yield self._start(data["id"], data["name"], {})
        yield self._end(data["id"], data["text"], ok=data["ok"])

    def _plan(self, data: Data) -> Updates:
        steps = [step for step in data["steps"] if step["status"] != DROPPED]
        entries = [
            helpers.plan_entry(visible(step["text"]), status=PLAN.get(step["status"], "pending")) for step in steps
        ]
        yield helpers.update_plan(entries)

    def _answered(self, data: Data) -> Updates:
        if data["by"] != self.name:
            kinds = ", ".join(dict.fromkeys(ANSWERS.get(kind, kind) for kind in data["answers"].values()))
            yield _thought(f"{kinds or 'answered'} {answered_from(data['by'], data['device'])}")

    def _error(self, data: Data) -> Updates:
        if data["exit_code"] is None:
            yield _thought(f"{data['message']} ({data['remedy']})" if data["remedy"] else data["message"])

    def _complete(self, data: Data) -> Updates:
        if data["status"] in ("limit", "contradicted"):
            yield helpers.update_agent_message_text(f"\n\n*{data['status']}: {visible(data['text'])}*\n")

    def _job(self, data: Data) -> Updates:
        yield _thought(f"run {data['id']}: {data['state']} {data['text']}")

    def _undone(self, data: Data) -> Updates:
        yield _thought(f"{data['direction']} of {plural(data['turns'], 'turn')} by another client")

    # --- parts

    def _message(self, text: str, reasoning: str) -> Updates:
        if reasoning:
            yield helpers.update_agent_thought_text(visible(reasoning))
        if text:
            yield helpers.update_agent_message_text(visible(text))

    def _start(self, id: str, name: str, args: Data, *, is_past: bool = False) -> Update:
        change = [] if is_past else change_of(name, args, self.workspace)
        self._calls[id] = ShownCall(change)
        return helpers.start_tool_call(
            id,
            title_of(name, args),
            kind=kind_of(name),
            status="pending",
            content=change or None,
            locations=locations_of(args, self.workspace),
            raw_input=dict(args),
        )

    def _end(self, id: str, text: str, *, ok: bool) -> Update:
        call = self._calls.get(id, ShownCall())
        content = call.change if ok and call.change else text_content(text)
        return helpers.update_tool_call(id, status="completed" if ok else "failed", content=content)


def title_update(title: str) -> SessionInfoUpdate:
    """Return the update of a thread's title."""
    return SessionInfoUpdate(session_update="session_info_update", title=title)


def _thought(text: str) -> Update:
    return helpers.update_agent_thought_text(f"{visible(text)}\n")


HANDLERS: Mapping[str, Callable[[UpdatesOfSession, Data], Updates]] = {
    "ready": UpdatesOfSession._ready,
    "processing": UpdatesOfSession._processing,
    "steered": UpdatesOfSession._processing,
    "assistant_chunk": UpdatesOfSession._chunk,
    "assistant_message": UpdatesOfSession._assistant_message,
    "tool_call": UpdatesOfSession._tool_call,
    "tool_log": UpdatesOfSession._log,
    "tool_output": UpdatesOfSession._output,
    "plan_update": UpdatesOfSession._plan,
    "approval_answered": UpdatesOfSession._answered,
    "error": UpdatesOfSession._error,
    "turn_complete": UpdatesOfSession._complete,
    "job_update": UpdatesOfSession._job,
    "undo_complete": UpdatesOfSession._undone,
}
"""The updates for each event; none for all others."""
