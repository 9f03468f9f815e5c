"""What must hold after any fault: the user's record, the log of effects and the database, held against each other."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.faults.lab import FaultLab

UNRUN = re.compile(r"^(Not run|error: refused)")
VARYING = re.compile(
    r"/[\w./-]+|[0-9a-f]{8,}(?:-[0-9a-f]{4,})*|\d+(?=,? (?:tokens|characters))|[\d,]+ characters left out"
)

Message = dict[str, Any]


def broken_in_session(lab: FaultLab) -> list[str]:
    """The promises that were broken in a session that went on after a fault; what it says then is its own affair."""
    final = lab.record.newest("final")
    return [
        *lab.record.all("violation"),
        *effects_twice(lab),
        *_effects(lab, final),
        *_spending(lab),
        *_rows(lab),
    ]


def broken(lab: FaultLab, reference: Sequence[Message]) -> list[str]:
    """The promises that were broken, one line each; `reference` is the conversation of a life without faults."""
    final = lab.record.newest("final")
    if final is None:
        return ["the scenario was not finished"]
    return [
        *lab.record.all("violation"),
        *_differences(lab, final, reference),
        *effects_twice(lab),
        *_effects(lab, final),
        *_decisions(lab, final),
        *_spending(lab),
        *_rows(lab),
        *(f"processes left: {pids}" for pids in lab.record.all("left") if pids),
    ]


def _differences(lab: FaultLab, final: Sequence[Message], reference: Sequence[Message]) -> Iterator[str]:
    """The conversation is the one without faults, but for results that say that they may have run in part."""
    if [_shape(message) for message in final] != [_shape(message) for message in reference]:
        yield f"the conversation is {[_shape(m) for m in final]}, not {[_shape(m) for m in reference]}"
        return
    asked = {id for question in lab.record.all("asked") for id in question["ids"]}
    for found, expected in zip(final, reference, strict=True):
        same = _plain(found["text"]) == _plain(expected["text"])
        if not same and found.get("call") not in asked and not _unsure(found):
            yield f"the text is {found['text'][:300]!r}, not {expected['text'][:300]!r}"


def _unsure(message: Message) -> bool:
    return message["type"] == "tool" and "may have run in part" in message["text"]


def _shape(message: Message) -> list[Any]:
    return [message["type"], message.get("name"), message.get("calls")]


def _plain(text: str) -> str:
    return VARYING.sub("#", text)


def effects_twice(lab: FaultLab) -> list[str]:
    """The calls that had their effect more than once."""
    return [f"{call} ran {times} times" for call, times in _ran(lab).items() if times > 1]


def _ran(lab: FaultLab) -> Counter[str]:
    """How often each call had its effect, by its message and place; a fork's calls are its parent's."""
    return Counter(line.split()[0].partition("/")[2] for line in lab.effects())


def _effects(lab: FaultLab, final: Sequence[Message]) -> Iterator[str]:
    """A call that is said to have run had its effect; one that is said not to have, had none."""
    marks = _ran(lab)
    for message in final:
        if message.get("name") not in ("bash", "mark") or message["text"].startswith("1\n2\n3\n"):
            continue
        ran = bool(marks.get(message["key"]))
        if ran and UNRUN.search(message["text"]):
            yield f"{message['key']} ran, and its result says {message['text'][:100]!r}"
        if not ran and not UNRUN.search(message["text"]) and not _unsure(message):
            yield f"{message['key']} did not run, and its result says {message['text'][:100]!r}"


def _decisions(lab: FaultLab, final: Sequence[Message]) -> Iterator[str]:
    """What ran in the end is what the user said last, and nothing that was never answered."""
    said: dict[str, str] = {}
    for decisions in lab.record.all("answered"):
        said |= {id: decision["type"] for id, decision in decisions.items()}
    asked = {id for question in lab.record.all("asked") for id in question["ids"]}
    for message in final:
        if message.get("call") not in asked:
            continue
        decision, text = said.get(message["call"], "none"), message["text"]
        right = {
            "approve": not UNRUN.search(text),
            "edit": text.startswith("The user changed the call") and not UNRUN.search(text),
            "reject": text.startswith("Not run: the user rejected it"),
            "none": text.startswith("Not run: superseded"),
        }[decision]
        if not right:
            yield f"the user's word was {decision}, the result is {text[:100]!r}"


def _spending(lab: FaultLab) -> Iterator[str]:
    """What was spent on a thread never gets less."""
    most: dict[str, float] = {}
    for spent in lab.record.all("spent"):
        before = most.get(spent["thread"], 0.0)
        if spent["usd"] < before:
            yield f"spending fell from {before} to {spent['usd']}"
        most[spent["thread"]] = spent["usd"]


def _rows(lab: FaultLab) -> Iterator[str]:
    """The database is sound, nothing in it is left open, and the thread is listed as what it is."""
    sound, started, threads = lab.rows(
        "SELECT 'ok'" if lab.url else "PRAGMA integrity_check",
        "SELECT thread_id, tool FROM journal WHERE status = 'started'",
        "SELECT id, state, turns, title FROM threads",
    )
    state, turns, title = {id: rest for id, *rest in threads}[lab.record.newest("thread")]
    if sound != [("ok",)]:
        yield f"integrity_check: {sound[:3]}"
    if started:
        yield f"calls are open in the journal at the end: {started}"
    if state != "idle" or not turns or not title:
        yield f"the thread is listed as {state}, {turns} turns, {title!r}"
