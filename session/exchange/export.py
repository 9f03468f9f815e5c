"""Convert a thread to plain data for exports and traces: its conversation, with the known times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from ml_intern.graph.state import IMAGES_WRITTEN, STEERED, role_of
from ml_intern.models.messages import convert
from ml_intern.outbound.conversation import Call, Conversation, Message, RequestUsage, TurnEnding
from ml_intern.session.turns.points import TurnPoint, turn_points
from ml_intern.store.checkpoints.packing import id_timestamp
from ml_intern.store.ledger import usage_summary

if TYPE_CHECKING:
    from ml_intern.session.turns.turns import Turns
    from ml_intern.store.ledger import PaidRequest
    from ml_intern.store.threads import ThreadRow

Span = tuple[float, float | None]
"""Start and end of a call, in seconds since the epoch."""


async def conversation_of(turns: "Turns", row: "ThreadRow") -> Conversation:
    """Return the current conversation of a thread, even one in use elsewhere, without its compacted parts."""
    store = turns.services.store
    values = (await turns.snapshot()).values
    points = await turn_points(await store.saver(), row.id)
    totals = await store.ledger.total(row.id)
    messages: list[AnyMessage] = values.get("messages", [])
    inputs = {link.parent or "": id_timestamp(link.id) for link in await store.checkpoints.lineage(row.id)}
    begun = {point.number: inputs[point.before] for point in points if point.before in inputs}
    spans = {(key.message_id, key.index): span for key, span in (await store.journal.spans(row.id)).items()}
    return Conversation(
        thread_id=row.id,
        messages=_Plain(points, begun, spans).messages(messages),
        title=row.title,
        folder=row.folder,
        model=next((m.response_metadata["model"] for m in reversed(messages) if _has_model(m)), ""),
        created=row.created,
        updated=row.updated,
        cost_usd=totals.known_cost_usd,
        usage=usage_summary(await store.ledger.by_source(row.id)),
        requests=tuple(map(_usage, await store.ledger.requests(row.id))),
        file_reads=values.get("file_reads", {}),
        endings={point.number: end for point in points if (end := _ending(point)) is not None},
    )


def plain_messages(messages: Sequence[AnyMessage]) -> tuple[Message, ...]:
    """Return messages as plain data, without turns and times."""
    return _Plain([], {}, {}).messages(messages)


def _usage(paid: "PaidRequest") -> RequestUsage:
    cached = (paid.cached_tokens, paid.cache_write_tokens)
    counts = (paid.input_tokens, paid.output_tokens, *cached, paid.reasoning_tokens)
    return RequestUsage(paid.model, paid.source, *counts, paid.cost_usd, paid.finished)


def _has_model(message: AnyMessage) -> bool:
    return message.type == "ai" and bool(message.response_metadata.get("model"))


def _ending(point: TurnPoint) -> TurnEnding | None:
    if point.outcome is None:
        return None
    end = point.outcome
    return TurnEnding(end["status"], end["text"], end["exit_code"], point.iterations, point.time or None)


@dataclass
class _Plain:
    """Convert messages, last to first. A turn is recognized by the beginning of its user message."""

    points: list[TurnPoint]
    begun: Mapping[int, float]
    """Start times by turn number."""
    spans: Mapping[tuple[str, int], Span]
    """Start and end times by reply id and index of the call."""
    ended: float | None = None
    """End time of the current turn; None once its last reply was converted."""
    results: dict[str, Message] = field(default_factory=dict[str, Message])

    def messages(self, found: Sequence[AnyMessage]) -> tuple[Message, ...]:
        places = _places(found)
        self.ended = self.points[0].time or None if self.points else None
        made = [self._made(message, places.get(place)) for place, message in reversed(list(enumerate(found)))]
        return tuple(reversed(made))

    def _made(self, message: AnyMessage, place: tuple[str, int] | None) -> Message:
        if isinstance(message, ToolMessage):
            return self._result(message, place)
        if isinstance(message, AIMessage):
            return self._reply(message)
        return self._users(message)

    def _users(self, message: AnyMessage) -> Message:
        text, images = _content(message)
        plain = Message(role_of(message), text, message.id or "", images=images)
        if plain.role == "note":
            return plain
        if message.additional_kwargs.get(STEERED):
            return replace(plain, steered=True)
        known = (place for place, point in enumerate(self.points) if message.text.startswith(point.text) and point.text)
        if (place := next(known, None)) is None:  # a message from before a fork or an import
            return plain
        point = self.points[place]
        del self.points[: place + 1]
        self.ended = self.points[0].time or None if self.points else None
        return replace(plain, turn=point.number, time=self.begun.get(point.number))

    def _reply(self, message: AIMessage) -> Message:
        text, images = _content(message)
        calls = tuple(Call(call["id"] or "", call["name"], call["args"]) for call in message.tool_calls)
        keys = [(message.id or "", place) for place in range(len(calls))]
        began = [self.spans[key][0] for key in keys if key in self.spans]
        time = min(began) if began else None if calls else self.ended
        self.ended = None
        reasoning = str(message.additional_kwargs.get("reasoning_content") or "")
        return Message("assistant", text, message.id or "", calls, reasoning, images, time=time)

    def _result(self, message: ToolMessage, place: tuple[str, int] | None) -> Message:
        text, images = _content(message)
        began, ended = self.spans.get(place, (None, None)) if place else (None, None)
        return Message(
            "tool",
            text,
            message.id or "",
            images=images,
            call_id=message.tool_call_id,
            name=message.name or "",
            ok=message.status == "success",
            time=ended,
            seconds=None if began is None or ended is None else round(ended - began, 3),
            images_written=tuple(message.additional_kwargs.get(IMAGES_WRITTEN, ())),
        )


def _places(messages: Sequence[AnyMessage]) -> dict[int, tuple[str, int]]:
    """Map the index of each result to the id of its reply and the index of its call."""
    found: dict[int, tuple[str, int]] = {}
    calls: dict[str | None, tuple[str, int]] = {}
    for place, message in enumerate(messages):
        if isinstance(message, AIMessage):
            calls = {call["id"]: (message.id or "", index) for index, call in enumerate(message.tool_calls)}
        elif isinstance(message, ToolMessage) and message.tool_call_id in calls:
            found[place] = calls[message.tool_call_id]
    return found


def _content(message: AnyMessage) -> tuple[str, tuple[str, ...]]:
    """Return the text and the images of the message in OpenAI format."""
    images = [
        str(block["image_url"]["url"])
        for wire in convert(message, reasoning=False)
        for block in (wire["content"] if isinstance(wire["content"], list) else [])
        if block["type"] == "image_url"
    ]
    return message.text, tuple(images)
