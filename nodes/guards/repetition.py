"""Detect a model that repeats itself. Pure functions over the signatures of the last calls."""

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
    """Return eight hex digits for a tool's name and its canonical arguments."""
    return _digest(name + json.dumps(args, sort_keys=True, ensure_ascii=False, default=str))


def signature(name: str, args: Mapping[str, Any], result: str) -> str:
    """Return the signature of a call and its result. Paths, times and durations in the result are ignored."""
    return f"{call_signature(name, args)}:{_digest(_VARYING.sub('', result))}"


def repeats(recent: Sequence[str], proposed: str) -> str | None:
    """Describe the repeated call or cycle that the proposed call would continue; None if there is none.

    `recent` ends with the latest call. A different call is never reported.
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
