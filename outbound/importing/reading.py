"""Reading a conversation from a file: our exports, recorded event lines, and the session files of ml-intern."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ml_intern.configs.errors import UsageError
from ml_intern.outbound.conversation import Call, Conversation, Message, first_words
from ml_intern.outbound.importing.event_reader import JOINS, EventReader, epoch
from ml_intern.outbound.importing.openai_reader import plain, read_messages

MESSAGE_KEYS = ("messages", "trajectory", "history", "conversation")
WHAT_IS_READ = "an export in the format openai or events, a recorded stream-json, or a session_*.json of ml-intern"
_LINES = "lines that are no JSON"


@dataclass(frozen=True)
class Read:
    """A conversation from a file, repaired, and what was left out of it, counted by kind."""

    conversation: Conversation
    left_out: Mapping[str, int]


def read_conversation(text: str, name: str) -> Read:
    """Read the text of the file `name`. Raises UsageError when it holds no conversation, or several."""
    left_out: Counter[str] = Counter()
    whole = _parsed(text)
    try:
        found = _from_lines(text, left_out, name) if whole is None else _from_value(whole, left_out)
    except RecursionError as fault:
        raise UsageError(f"{name} is nested too deeply to be read", f"give {WHAT_IS_READ}") from fault
    if found is None or not found.messages:
        raise UsageError(f"{name} holds no conversation", f"give {WHAT_IS_READ}")
    messages, repaired = paired(found.messages)
    titled = found.title or first_words(messages)
    return Read(replace(found, messages=messages, title=titled), dict(+(left_out + repaired)))


def _parsed(text: str) -> Any:
    """The JSON value of the text, or None when it is not one."""
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return None


def _from_value(value: Any, left_out: Counter[str]) -> Conversation | None:
    if isinstance(value, list):
        return _from_list(value, left_out)
    if not isinstance(value, Mapping):
        return None
    if "type" in value and isinstance(value.get("data"), Mapping):
        return _from_events([value], left_out)
    for key in MESSAGE_KEYS:
        if isinstance(listed := _unpacked(value.get(key)), list) and listed:
            return _about(value, _from_list(listed, left_out, _side(value, "notes"), _side(value, "failed")))
    events = _unpacked(value.get("events"))
    return _about(value, _from_list(events, left_out)) if isinstance(events, list) else None


def _unpacked(value: Any) -> Any:
    """A list, or one that was packed into a string: rows of the traces' data set have it so."""
    return _parsed(value) if isinstance(value, str) else value


def _from_list(
    listed: list[Any], left_out: Counter[str], notes: frozenset[int] = frozenset(), failed: frozenset[int] = frozenset()
) -> Conversation:
    if any(isinstance(each, Mapping) and ("event_type" in each or "data" in each) for each in listed):
        return _from_events(listed, left_out)
    messages = list[Message]()
    for place, each in enumerate(listed):
        for message in read_messages([each], left_out):
            role = "note" if place in notes and message.role == "user" else message.role
            messages.append(replace(message, role=role, ok=message.ok and place not in failed))
    return Conversation("", messages)


def _side(value: Mapping[str, Any], key: str) -> frozenset[int]:
    """Places of messages that our own export names beside them."""
    aside = value.get("ml_intern")
    places = aside.get(key) if isinstance(aside, Mapping) else None
    return frozenset(place for place in places if isinstance(place, int)) if isinstance(places, list) else frozenset()


def _from_lines(text: str, left_out: Counter[str], name: str) -> Conversation | None:
    values = [_parsed(line) for line in text.split("\n") if line.strip()]
    found = [value for value in values if isinstance(value, Mapping)]
    left_out[_LINES] += len(values) - len(found)
    whole = [value for value in found if any(key in value for key in MESSAGE_KEYS)]
    if len(whole) > 1:
        raise UsageError(f"{name} holds {len(whole)} conversations", "import them one by one, each from its own file")
    if whole:
        return _from_value(whole[0], left_out)
    return _from_list(found, left_out) if found else None


def _from_events(events: list[Any], left_out: Counter[str]) -> Conversation:
    reader = EventReader(left_out)
    reader.take_all(_as_now(event) for event in events if isinstance(event, Mapping))
    about = reader.about
    return Conversation(
        about.get("thread_id", ""),
        reader.messages,
        title=about.get("title", ""),
        folder=about.get("folder", ""),
        model=about.get("model", ""),
        created=about.get("created"),
        updated=about.get("updated"),
    )


def _as_now(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event as it is written now; the session files name its parts otherwise."""
    type, data = event.get("event_type"), event.get("data")
    if type is None or not isinstance(data, Mapping):
        return event
    renamed: dict[str, Any] = dict(data)
    if type == "assistant_message":
        renamed = {"text": data.get("content")}
    elif type == "tool_call":  # its calls stand nowhere else
        call = {"id": data.get("tool_call_id"), "name": data.get("tool"), "args": data.get("arguments")}
        type, renamed = "assistant_message", {"text": "", "tool_calls": [call], JOINS: True}
    elif type == "tool_output":
        renamed = {"id": data.get("tool_call_id"), "name": data.get("tool"), "text": data.get("output")}
        renamed["ok"] = data.get("success")
    elif type == "user_message":
        type, renamed = "processing", {"text": data.get("content")}
    return {"type": type, "time": _seconds(event.get("timestamp")), "data": renamed}


def _about(value: Mapping[str, Any], found: Conversation) -> Conversation:
    """What the keys of a session file say of the thread."""
    aside = value.get("ml_intern")
    return replace(
        found,
        thread_id=_text(value, "session_id") or found.thread_id,
        title=_text(value, "session_title", "title") or found.title,
        model=_text(value, "model_name", "model") or found.model,
        created=_seconds(value.get("session_start_time")) or found.created,
        updated=_seconds(value.get("session_end_time") or value.get("last_save_time")) or found.updated,
        folder=_text(aside, "folder") if isinstance(aside, Mapping) else found.folder,
    )


def _text(value: Mapping[str, Any], *keys: str) -> str:
    return next((plain(found) for key in keys if isinstance(found := value.get(key), str) and found), "")


def _seconds(written: Any) -> float | None:
    try:
        return epoch(datetime.fromisoformat(written).timestamp() if isinstance(written, str) else written)
    except (ValueError, OverflowError):
        return None


UNANSWERED = "No result was recorded: the file this conversation was imported from holds none."
ORPHANS = "results that belong to no call"
UNANSWERED_CALLS = "results of calls (said so in their place)"


def paired(messages: Sequence[Message]) -> tuple[list[Message], Counter[str]]:
    """The conversation with one result a call, and what had to be left out, counted by kind.

    A result is looked for up to the next reply, by the id of its call, and by its place where it names none. Ids that
    are missing or stand twice in one reply are made new.
    """
    sound: list[Message] = []
    left_out: Counter[str] = Counter()
    rest = list(messages)
    while rest:
        message = rest.pop(0) if rest[0].role != "assistant" else None
        if message is not None:
            sound += [message] if message.role != "tool" else []
            left_out[ORPHANS] += message.role == "tool"
            continue
        end = next((place for place in range(1, len(rest)) if rest[place].role == "assistant"), len(rest))
        sound += _exchange(rest[0], rest[1:end], left_out)
        del rest[:end]
    return sound, +left_out


def _exchange(reply: Message, following: Sequence[Message], left_out: Counter[str]) -> list[Message]:
    """A reply, a result for each of its calls, and what else came before the next reply."""
    open_results = [message for message in following if message.role == "tool"]
    calls: list[Call] = []
    answers: list[Message] = []
    for place, call in enumerate(reply.calls):
        answer = _taken(call, open_results)
        taken = call.id in {earlier.id for earlier in calls}
        id = call.id if call.id and not taken else f"call_{reply.id or 'x'}_{place}"
        calls.append(replace(call, id=id))
        left_out[UNANSWERED_CALLS] += answer is None
        answer = answer or Message("tool", UNANSWERED, ok=False)
        answers.append(replace(answer, call_id=id, name=call.name))
    left_out[ORPHANS] += len(open_results)
    others = [message for message in following if message.role != "tool"]
    return [replace(reply, calls=tuple(calls)), *answers, *others]


def _taken(call: Call, results: list[Message]) -> Message | None:
    """Take the result of a call out of those that are left."""
    for place, result in enumerate(results):
        if result.call_id == call.id or not result.call_id:
            return results.pop(place)
    return None
