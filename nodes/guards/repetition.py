"""Detect a model that repeats itself. Pure functions over the signatures of the last calls.

A call counts as repeated only if its arguments and its result are the same, so a sweep over an argument and polling
with changing results are never reported.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

REPEATS = 3
CYCLES = 2
MAX_CYCLE = 5
WAITING_CALLS = 20
"""Calls without a change after which a loop that waits is reported."""
STUCK_CALLS = 12
"""Calls in a row that each ran at least REPEATS times with the same result, in any order."""
NEW_CALLS = 15
"""New calls in a row after which earlier repetitions no longer count."""
_SLEEP = re.compile(r"\bsleep\s+(?:\d{2,}|\d*\.?\d+[mhd])")
_WAITS = "w"
_VARYING = re.compile(
    r"/[\w.\-/]+"  # paths
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?"  # times of day
    r"|\d\d:\d\d:\d\d(?:\.\d+)?"
    r"|\b\d+(?:\.\d+)?\s?(?:ms|s|sec|seconds|it/s)\b"  # durations and rates
)


def call_signature(name: str, args: Mapping[str, Any]) -> str:
    """Return eight hex digits for a tool's name and its canonical arguments."""
    return _digest(name + json.dumps(args, sort_keys=True, ensure_ascii=False, default=str))


def signature(name: str, args: Mapping[str, Any], result: str) -> str:
    """Return the signature of a call and its result. Paths, times and durations in the result are ignored."""
    found = f"{call_signature(name, args)}:{_digest(_VARYING.sub('', result))}"
    return found + _WAITS if _waits(name, args) else found


def repeats(recent: Sequence[str], proposed: Sequence[str]) -> str | None:
    """Describe the loop that the proposed calls would continue; None if there is none.

    `recent` ends with the latest call. A reply with a call that is not part of the loop is never reported.
    """
    for length in range(1, MAX_CYCLE + 1):
        if rounds := _rounds(recent, proposed, length):
            if length == 1:
                return f"the same call gave the same result {rounds} times in a row"
            return f"the same cycle of {length} calls ran {rounds} times with the same results"
    if _stuck(recent, proposed):
        return f"the last {STUCK_CALLS} calls only repeated earlier calls, with the same results"
    return None


def repeated_again(recent: Sequence[str], proposed: Sequence[str]) -> list[str]:
    """Return the entries of calls that are not run: each counts as one that gave its last result again."""
    last = {_call(entry): entry for entry in recent}
    return [last[call] for call in proposed if call in last]


def progressed(recent: Sequence[str]) -> bool:
    """Return whether the last NEW_CALLS calls all differ from each other and from the calls before them."""
    new = set(recent[-NEW_CALLS:])
    return len(new) == NEW_CALLS and new.isdisjoint(recent[:-NEW_CALLS])


def _rounds(recent: Sequence[str], proposed: Sequence[str], length: int) -> int:
    """Return how often a cycle of this length ran at least, if the proposed calls continue it; else 0."""
    cycle = list(recent[-length:])
    waiting = any(entry.endswith(_WAITS) for entry in cycle)
    rounds = -(-WAITING_CALLS // length) if waiting else REPEATS if length == 1 else CYCLES
    if not cycle or list(recent[-rounds * length :]) != cycle * rounds:
        return 0
    continued = all(call == _call(cycle[place % length]) for place, call in enumerate(proposed))
    return rounds if continued else 0


def _stuck(recent: Sequence[str], proposed: Sequence[str]) -> bool:
    last, counts = recent[-STUCK_CALLS:], Counter(recent)
    if len(last) < STUCK_CALLS or any(counts[entry] < REPEATS or entry.endswith(_WAITS) for entry in last):
        return False
    return {_call(entry) for entry in last}.issuperset(proposed)


def _waits(name: str, args: Mapping[str, Any]) -> bool:
    """Return whether a call only passes time: a sleep of 10 s or more, or waiting for a run."""
    if name == "jobs":
        return args.get("operation") == "wait"
    return name == "bash" and _SLEEP.search(str(args.get("command", ""))) is not None


def _call(entry: str) -> str:
    return entry.partition(":")[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
