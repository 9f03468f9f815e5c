"""Count the runs of a thread that evaluate on test rows."""

import re
from collections.abc import Iterator
from typing import Final

from ml_intern.evidence.checks.code import facts_of
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.text.formatting import plural

MAX_TRIES: Final = 20
"""From this number of runs on, the answer has to say that there were several."""
_SAID: Final = re.compile(
    r"(?i)\bseeds?\b|\btries\b|\btried\b|\bsettings\b|\bconfigurations\b|\bruns\b|\btimes\b|\bbest of\b"
)
_NUMBER: Final = re.compile(r"(?<![\w.])\d+")
"""Scripts that differ only in numbers evaluate on the same rows, so one of them is read."""
_LOOP: Final = re.compile(r"\bfor\s+\w+\s+in\s+(.*?)\s*(?:;|\n)\s*do\b", re.DOTALL)
_RANGE: Final = re.compile(r"\$\(\s*seq\s+(?:(-?\d+)\s+)?(-?\d+)\s*\)|\{(-?\d+)\.\.(-?\d+)\}")


def try_findings(answer: str, seen: Observations) -> Iterator[Finding]:
    """Yield the number of runs that evaluated on test rows, if they are many and the answer does not say so."""
    tried = {(run.command, code): _repeats(run.command) for run in seen.programs if (code := _evaluating(run, seen))}
    total = sum(tried.values())
    if total >= MAX_TRIES and not _SAID.search(answer):
        message = f"{plural(total, 'run')} of this thread evaluated on the test rows; the answer does not say so"
        yield Finding("test-tries", message)


def _evaluating(run: Execution, seen: Observations) -> str:
    """Return the code of an execution that evaluates on test rows, or ""."""
    return next((code for _, code in seen.sources(run) if facts_of(_NUMBER.sub("0", code), "").test_tries), "")


def _repeats(command: str) -> int:
    """Return how many times the loops of a shell command repeat what is in them, as far as their words say."""
    total = 1
    for loop in _LOOP.finditer(command):
        total *= max(1, sum(map(_passes, re.findall(r"\$\([^)]*\)|\S+", loop[1]))))
    return total


def _passes(word: str) -> int:
    found = _RANGE.fullmatch(word)
    if not found:
        return 1
    first, last = int(found[1] or found[3] or 1), int(found[2] or found[4])
    return abs(last - first) + 1
