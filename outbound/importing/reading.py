"""Read a conversation from a file: an export, recorded event lines, or a session file of Hugging Face's ml-intern."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ml_intern.configs.errors import UsageError
from ml_intern.outbound.conversation import Call, Conversation, Message, default_title
from ml_intern.outbound.importing.event_reader import CONTINUES_REPLY, EventReader, epoch
from ml_intern.outbound.importing.former_tools import with_current_tools
from ml_intern.outbound.importing.openai_reader import plain, read_messages

MESSAGE_KEYS = ("messages", "trajectory", "history", "conversation")
IMPORTABLE = "an export in format openai or events, recorded stream-json output, or a session_*.json file"
_LINES = "lines that are not JSON"


@dataclass(frozen=True)
class ImportedConversation:
    """A conversation read from a file and repaired, with the number of skipped items by kind."""

    conversation: Conversation
    left_out: Mapping[str, int]


def read_conversation(text: str, name: str) -> ImportedConversation:
    """Read the text of the file `name`. Raises UsageError if it does not contain exactly one conversation."""
    left_out: Counter[str] = Counter()
    whole = _parsed(text)
    try:
        found = _from_lines(text, left_out, name) if whole is None else _from_value(whole, left_out)
    except RecursionError as error:
        raise UsageError(f"{name} is too deeply nested to read", f"use {IMPORTABLE}") from error
    if found is None or not found.messages:
        raise UsageError(f"{name} does not contain a conversation", f"use {IMPORTABLE}")
    messages, repaired = pair_results(with_current_tools(found.messages))
    title = found.title or default_title(messages)
    return ImportedConversation(replace(found, messages=messages, title=title), dict(+(left_out + repaired)))


def _parsed(text: str) -> Any:
    """Return the JSON value of the text, or None if it is not valid JSON."""
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
        if isinstance(listed := _decode_list(value.get(key)), list) and listed:
            return _with_metadata(
                value, _from_list(listed, left_out, _indexes(value, "notes"), _indexes(value, "failed"))
            )
    events = _decode_list(value.get("events"))
    return _with_metadata(value, _from_list(events, left_out)) if isinstance(events, list) else None


def _decode_list(value: Any) -> Any:
    """Decode a list that is stored as a JSON string, as in rows of a trace dataset."""
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


def _indexes(value: Mapping[str, Any], key: str) -> frozenset[int]:
    """Return the message indexes that an OpenAI export lists under `key`."""
    aside = value.get("ml_intern")
    places = aside.get(key) if isinstance(aside, Mapping) else None
    return frozenset(place for place in places if isinstance(place, int)) if isinstance(places, list) else frozenset()


def _from_lines(text: str, left_out: Counter[str], name: str) -> Conversation | None:
    values = [_parsed(line) for line in text.split("\n") if line.strip()]
    found = [value for value in values if isinstance(value, Mapping)]
    left_out[_LINES] += len(values) - len(found)
    whole = [value for value in found if any(key in value for key in MESSAGE_KEYS)]
    if len(whole) > 1:
        raise UsageError(
            f"{name} contains {len(whole)} conversations", "save each in its own file and import them one by one"
        )
    if whole:
        return _from_value(whole[0], left_out)
    return _from_list(found, left_out) if found else None


def _from_events(events: list[Any], left_out: Counter[str]) -> Conversation:
    reader = EventReader(left_out)
    reader.add_all(_current_format(event) for event in events if isinstance(event, Mapping))
    metadata = reader.metadata
    return Conversation(
        metadata.get("thread_id", ""),
        reader.messages,
        title=metadata.get("title", ""),
        folder=metadata.get("folder", ""),
        model=metadata.get("model", ""),
        created=metadata.get("created"),
        updated=metadata.get("updated"),
    )


def _current_format(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert an event of a session file to the current event format."""
    type, data = event.get("event_type"), event.get("data")
    if type is None or not isinstance(data, Mapping):
        return event
    renamed: dict[str, Any] = dict(data)
    if type == "assistant_message":
        renamed = {"text": data.get("content")}
    elif type == "tool_call":  # the session file records calls only here
        call = {"id": data.get("tool_call_id"), "name": data.get("tool"), "args": data.get("arguments")}
        type, renamed = "assistant_message", {"text": "", "tool_calls": [call], CONTINUES_REPLY: True}
    elif type == "tool_output":
        renamed = {"id": data.get("tool_call_id"), "name": data.get("tool"), "text": data.get("output")}
        renamed["ok"] = data.get("success")
    elif type == "user_message":
        type, renamed = "processing", {"text": data.get("content")}
    return {"type": type, "time": _seconds(event.get("timestamp")), "data": renamed}


def _with_metadata(value: Mapping[str, Any], found: Conversation) -> Conversation:
    """Return the conversation with the metadata of a session file."""
    aside = value.get("ml_intern")
    return replace(
        found,
        thread_id=_text(value, "session_id") or found.thread_id,
        title=_text(value, "session_title", "title") or found.title,
        model=_text(value, "model_name", "model") or found.model,
        created=_seconds(value.get("session_start_time")) or found.created,
        updated=_seconds(value.get("session_end_time") or value.get("last_save_time")) or found.updated,
        folder=_text(aside, "folder") if isinstance(aside, Mapping) else found.folder,
        file_reads=_file_reads(aside),
    )


def _file_reads(aside: Any) -> dict[str, str]:
    """Return the digests of the files that the model had read, as an OpenAI export lists them."""
    listed = aside.get("file_reads") if isinstance(aside, Mapping) else None
    found = listed.items() if isinstance(listed, Mapping) else ()
    return {path: digest for path, digest in found if isinstance(path, str) and isinstance(digest, str)}


def _text(value: Mapping[str, Any], *keys: str) -> str:
    return next((plain(found) for key in keys if isinstance(found := value.get(key), str) and found), "")


def _seconds(written: Any) -> float | None:
    try:
        return epoch(datetime.fromisoformat(written).timestamp() if isinstance(written, str) else written)
    except (ValueError, OverflowError):
        return None


UNANSWERED = "No result was recorded: the imported file does not contain one."
ORPHANS = "results without a matching call"
UNANSWERED_CALLS = "missing results of calls (replaced by a note)"


def pair_results(messages: Sequence[Message]) -> tuple[list[Message], Counter[str]]:
    """Return the messages with exactly one result per call, and the number of skipped items by kind.

    Results are matched before the next reply, by call id, or by position if they have no id. Missing ids and duplicate
    ids within a reply are replaced.
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
    """Return a reply, one result for each of its calls, and the other messages before the next reply."""
    open_results = [message for message in following if message.role == "tool"]
    calls: list[Call] = []
    answers: list[Message] = []
    for place, call in enumerate(reply.calls):
        answer = _pop_result(call, open_results)
        is_duplicate = call.id in {earlier.id for earlier in calls}
        id = call.id if call.id and not is_duplicate else f"call_{reply.id or 'x'}_{place}"
        calls.append(replace(call, id=id))
        left_out[UNANSWERED_CALLS] += answer is None
        answer = answer or Message("tool", UNANSWERED, ok=False)
        answers.append(replace(answer, call_id=id, name=call.name))
    left_out[ORPHANS] += len(open_results)
    others = [message for message in following if message.role != "tool"]
    return [replace(reply, calls=tuple(calls)), *answers, *others]


def _pop_result(call: Call, results: list[Message]) -> Message | None:
    """Remove and return the result of a call."""
    for place, result in enumerate(results):
        if result.call_id == call.id or not result.call_id:
            return results.pop(place)
    return None
