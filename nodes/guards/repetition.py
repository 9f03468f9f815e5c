"""Recognise a model that goes round in circles. Pure functions over the signatures of the last calls."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

REPEATS = 3
MAX_CYCLE = 5
_VARYING = re.compile(
    r"/[\w.\-/]+"  # paths
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?"  # times of day
    r"|\d\d:\d\d:\d\d(?:\.\d+)?"
    r"|\b\d+(?:\.\d+)?\s?(?:ms|s|sec|seconds|it/s)\b"  # durations and rates
)


def call_signature(name: str, args: Mapping[str, Any]) -> str:
    """Eight hex digits for a tool's name and its canonical arguments."""
    return _digest(name + json.dumps(args, sort_keys=True, ensure_ascii=False, default=str))


def signature(name: str, args: Mapping[str, Any], result: str) -> str:
    """A call and its result, without the paths and times that differ between equal results."""
    return f"{call_signature(name, args)}:{_digest(_VARYING.sub('', result))}"


def repeats(recent: Sequence[str], proposed: str) -> str | None:
    """What the proposed call would continue: a call repeated with one result, or a cycle; None when it does not.

    Anchored to the tail: `recent` ends with the newest call, and a proposal that does something else is silent.
    """
    if len(recent) >= REPEATS and len(set(recent[-REPEATS:])) == 1 and _call(recent[-1]) == proposed:
        return f"the same call gave the same result {REPEATS} times in a row"
    for length in range(2, MAX_CYCLE + 1):
        tail = recent[-2 * length :]
        if len(tail) == 2 * length and tail[:length] == tail[length:] and _call(tail[0]) == proposed:
            return f"the same cycle of {length} calls ran twice with the same results"
    return None


def _call(entry: str) -> str:
    return entry.partition(":")[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
