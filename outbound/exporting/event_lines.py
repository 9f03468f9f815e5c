"""Export as events, rebuilt from the conversation, without streamed chunks, logs and approvals, which are not saved."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ml_intern.graph.events import Event
from ml_intern.outbound.conversation import Call, Conversation, Message, RequestUsage, TurnEnding, json_lines
from ml_intern.store.ledger import usage_summary

REBUILT = "rebuilt from the saved conversation: streamed chunks, logs and approvals are not included"


def render_events(conversation: Conversation, version: str) -> str:
    """Return one event per line, as stream-json writes them. ASCII only, so that every reader splits the same lines."""
    return json_lines(event.as_json() for event in rebuild_events(conversation, version))


def rebuild_events(conversation: Conversation, version: str) -> Iterator[Event]:
    """Yield the events of the thread, numbered from 1; the last one is `result`.

    A message without a recorded time gets the time of the previous one. `version` is the version of ml-intern.
    """
    time = conversation.created or 0.0
    parts = _with_usage(_EventBuilder(conversation).events(version), conversation.requests)
    for sequence, (type, data, at) in enumerate(parts, start=1):
        time = max(time, at or time)
        yield Event(type, conversation.thread_id, sequence, time, data)


Parts = tuple[str, dict[str, Any], float | None]
"""An event's type, its data, and its time (None if unknown)."""


def _with_usage(parts: Iterable[Parts], requests: Sequence[RequestUsage]) -> Iterator[Parts]:
    """Insert a `usage` event for each request, in order of time and before `shutdown`."""
    pending = list(reversed(requests))
    total = 0.0
    for part in parts:
        while pending and (part[0] == "shutdown" or (part[2] is not None and pending[-1].time <= part[2])):
            used = pending.pop()
            total += used.cost_usd or 0.0
            yield "usage", {**_usage_data(used), "total_cost_usd": total}, used.time
        yield part


def _usage_data(used: RequestUsage) -> dict[str, Any]:
    data = asdict(used)
    del data["time"]
    return data


@dataclass
class _EventBuilder:
    """Rebuilds the events in one pass over the conversation."""

    conversation: Conversation
    turn: int = 0
    iterations: int = 0
    reply: Message | None = None
    results: Mapping[tuple[int, str], Message] = field(default_factory=dict[tuple[int, str], Message])

    def events(self, version: str) -> Iterator[Parts]:
        self.results = self.conversation.results()
        yield "ready", self._ready(version), self.conversation.created
        for place, message in enumerate(self.conversation.messages):
            if message.steered:
                yield "steered", {"turn": self.turn, "text": message.text, "id": message.id}, message.time
            elif message.role == "user":
                yield from self._turn_complete()
                self.turn, self.iterations, self.reply = message.turn or self.turn + 1, 0, None
                yield "processing", {"turn": self.turn, "text": message.text, "id": message.id}, message.time
            elif message.role == "assistant":
                yield from self._reply_events(place, message)
        yield from self._turn_complete()
        yield "shutdown", {"reason": "closed"}, self.conversation.updated
        yield "result", self._result(), self.conversation.updated

    def _ready(self, version: str) -> dict[str, Any]:
        names = {call.name for message in self.conversation.messages for call in message.calls}
        return {
            "model": self.conversation.model or "unknown",
            "tools": sorted(names),
            "version": version,
            "cwd": self.conversation.folder,
            "approval_mode": "replayed",
            "sandbox": "unknown",
            "max_iterations": None,
            "max_budget_usd": None,
            "unpriced_models": [],
            "notes": [REBUILT],
        }

    def _reply_events(self, place: int, message: Message) -> Iterator[Parts]:
        self.iterations += 1
        self.reply = message
        calls = [{"id": call.id, "name": call.name, "args": dict(call.args)} for call in message.calls]
        reply = {"message_id": message.id, "text": message.text, "reasoning": message.reasoning, "tool_calls": calls}
        yield "assistant_message", reply, message.time
        for call in message.calls:
            result = self.results.get((place, call.id))
            started = None if result is None or result.time is None else result.time - (result.seconds or 0.0)
            data = {"id": call.id, "name": call.name, "args": dict(call.args), "message_id": message.id}
            yield "tool_call", data, started
            if result is not None:
                yield from _result_events(call, result)

    def _turn_complete(self) -> Iterator[Parts]:
        if not self.turn:
            return
        end = self._ending()
        data = {"turn": self.turn, "status": end.status, "text": end.text, "iterations": end.iterations}
        yield "turn_complete", data, end.time

    def _ending(self) -> TurnEnding:
        if known := self.conversation.endings.get(self.turn):
            return known
        if self.reply is not None and not self.reply.calls:
            return TurnEnding("done", self.reply.text, 0, self.iterations)
        return TurnEnding("interrupted", "the turn did not finish", 130, self.iterations)

    def _result(self) -> dict[str, Any]:
        end = self._ending()
        return {
            "status": end.status,
            "exit_code": end.exit_code,
            "text": end.text,
            "usage": dict(self.conversation.usage) or usage_summary([]),
            "cost_usd": self.conversation.cost_usd,
            "iterations": end.iterations,
            "thread_id": self.conversation.thread_id,
            "unverified": [],
            "evidence": None,
        }


def _result_events(call: Call, result: Message) -> Iterator[Parts]:
    if call.name == "plan" and result.ok and isinstance(steps := call.args.get("steps"), list):
        yield "plan_update", {"steps": [_step(step) for step in steps if isinstance(step, Mapping)]}, result.time
    output = {
        "id": call.id,
        "name": call.name,
        "text": result.text,
        "ok": result.ok,
        "status": "done" if result.ok else "failed",
        "seconds": result.seconds or 0.0,
        "artifact": None,
        "images": list(result.images_written),
    }
    yield "tool_output", output, result.time


def _step(step: Mapping[str, Any]) -> dict[str, str]:
    return {"text": str(step.get("text", "")), "status": str(step.get("status", "pending"))}
