"""Spans of a session, made from its events by the GenAI semantic conventions. Nothing is sent here."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from ml_intern.graph.events import Event
from ml_intern.store.runs import OPEN

AGENT: Final = "ml-intern"
MAIN: Final = "main"
"""The source of the model calls of the turn itself."""
ENDS: Final = ("turn_complete", "interrupted", "approval_required")
Data = Mapping[str, Any]
Attributes = dict[str, str | int | float | bool]


class SessionSpans:
    """Makes spans of the events of one session. With `content`, they contain messages, arguments and results.

    The conventions want a span when a request begins, which no event reports: the span of a model call begins at the
    end of what came before it in the turn.
    """

    def __init__(self, tracer: Tracer, *, content: bool) -> None:
        self._tracer = tracer
        self._content = content
        self._turn: Span | None = None
        self._calls: dict[str, Span] = {}
        self._runs: dict[str, Span] = {}
        self._reply: Data = {}
        self._before = 0
        """When the latest step of the turn ended, in nanoseconds since the epoch."""

    def take(self, event: Event) -> None:
        """Begin or end the spans of an event."""
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event, round(event.time * 1e9))

    def close(self) -> None:
        """End all spans."""
        for span in (*self._calls.values(), *self._runs.values(), *filter(None, [self._turn])):
            span.end()

    def _start(self, name: str, operation: str, when: int, *, kind: SpanKind = SpanKind.INTERNAL, **more: Any) -> Span:
        parent = set_span_in_context(self._turn) if self._turn is not None else None
        attributes = {gen_ai.GEN_AI_OPERATION_NAME: operation, **more} if operation else more
        return self._tracer.start_span(name, parent, kind, attributes, start_time=when)

    def _begin_turn(self, event: Event, now: int) -> None:
        if self._turn is not None:
            self._turn.end(now)
        self._turn = None
        self._turn = self._start(f"invoke_agent {AGENT}", "invoke_agent", now)
        self._turn.set_attributes(
            {gen_ai.GEN_AI_AGENT_NAME: AGENT, gen_ai.GEN_AI_CONVERSATION_ID: event.thread_id}
            | {"ml_intern.turn": event.data.get("turn", 0)}
        )
        if self._content and event.data.get("text"):
            self._turn.set_attribute(gen_ai.GEN_AI_INPUT_MESSAGES, _message("user", event.data["text"]))
        self._before = now

    def _resume_turn(self, event: Event, now: int) -> None:
        """Begin the rest of a turn that waited for an approval."""
        if self._turn is None:
            self._begin_turn(event, now)

    def _note_reply(self, event: Event, _now: int) -> None:
        self._reply = event.data

    def _end_model_call(self, event: Event, now: int) -> None:
        data = event.data
        span = self._start(f"chat {data['model']}", "chat", self._before or now, kind=SpanKind.CLIENT)
        span.set_attributes(_usage(data))
        span.set_attribute(gen_ai.GEN_AI_CONVERSATION_ID, event.thread_id)
        if self._content and data["source"] == MAIN and self._reply:
            span.set_attribute(gen_ai.GEN_AI_OUTPUT_MESSAGES, _message("assistant", self._reply["text"]))
        span.end(now)
        self._before = now

    def _begin_call(self, event: Event, now: int) -> None:
        data = event.data
        span = self._start(f"execute_tool {data['name']}", "execute_tool", now)
        span.set_attributes(
            {
                gen_ai.GEN_AI_TOOL_NAME: data["name"],
                gen_ai.GEN_AI_TOOL_CALL_ID: data["id"],
                gen_ai.GEN_AI_TOOL_TYPE: "function",
            }
        )
        if self._content:
            span.set_attribute(gen_ai.GEN_AI_TOOL_CALL_ARGUMENTS, json.dumps(data["args"], ensure_ascii=False))
        self._calls[data["id"]] = span

    def _end_call(self, event: Event, now: int) -> None:
        span = self._calls.pop(event.data["id"], None)
        self._before = now
        if span is None:  # it was refused and did not run
            return
        if not event.data["ok"]:
            _fail(span, event.data["status"])
        if self._content:
            span.set_attribute(gen_ai.GEN_AI_TOOL_CALL_RESULT, event.data["text"])
        span.end(now)

    def _follow_run(self, event: Event, now: int) -> None:
        id, state = event.data["id"], event.data["state"]
        if id not in self._runs:
            self._runs[id] = self._start(f"run {id}", "", now, **{"ml_intern.run.id": id})
        if state not in OPEN:
            span = self._runs.pop(id)
            span.set_attribute("ml_intern.run.state", state)
            if state != "succeeded":
                _fail(span, state)
            span.end(now)

    def _fail_turn(self, event: Event, _now: int) -> None:
        if self._turn is not None and event.data["exit_code"] is not None:
            _fail(self._turn, str(event.data["exit_code"]))

    def _end_turn(self, event: Event, now: int) -> None:
        for id in list(self._calls):
            self._calls.pop(id).end(now)
        if self._turn is None:
            return
        status = event.data.get("status", "interrupted" if event.type == "interrupted" else "waiting")
        self._turn.set_attribute("ml_intern.turn.status", status)
        if status == "failed":
            _fail(self._turn, status)
        if self._content and event.data.get("text"):
            self._turn.set_attribute(gen_ai.GEN_AI_OUTPUT_MESSAGES, _message("assistant", event.data["text"]))
        self._turn.end(now)
        self._turn = None


def _usage(data: Data) -> Attributes:
    provider, *name = re.split("[/:]", data["model"], maxsplit=1)
    found = {
        gen_ai.GEN_AI_PROVIDER_NAME: provider,
        gen_ai.GEN_AI_REQUEST_MODEL: name[0] if name else provider,
        gen_ai.GEN_AI_USAGE_INPUT_TOKENS: data["input_tokens"],
        gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: data["output_tokens"],
        gen_ai.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: data["cached_tokens"],
        gen_ai.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: data["cache_write_tokens"],
        "ml_intern.source": data["source"],
        "ml_intern.cost_usd": data["cost_usd"],
    }
    return {name: value for name, value in found.items() if value is not None}


def _message(role: str, text: str) -> str:
    """Return a message in the form of the conventions."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)


def _fail(span: Span, why: str) -> None:
    span.set_attribute("error.type", why)
    span.set_status(Status(StatusCode.ERROR))


_HANDLERS: Mapping[str, Callable[[SessionSpans, Event, int], None]] = {
    "processing": SessionSpans._begin_turn,
    "approval_answered": SessionSpans._resume_turn,
    "assistant_message": SessionSpans._note_reply,
    "usage": SessionSpans._end_model_call,
    "tool_call": SessionSpans._begin_call,
    "tool_output": SessionSpans._end_call,
    "job_update": SessionSpans._follow_run,
    "error": SessionSpans._fail_turn,
    **dict.fromkeys(ENDS, SessionSpans._end_turn),
}
