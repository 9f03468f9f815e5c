"""Repair of a conversation from outside: every call gets exactly one result, right after the reply that made it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from outbound.conversation import Call, Message

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
