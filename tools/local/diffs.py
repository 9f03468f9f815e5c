"""The diff that the result of a write or an edit shows."""

import difflib
import re
from collections.abc import Callable, Iterable

MAX_COMPARED = 3_000
DIFF_CHARACTERS = 6_000
DIFF_LINE = 400
_CONTEXT_LINES = 2
_HUNK = re.compile(r"^@@ -(\d+)(\S*) \+(\d+)(\S*) @@")


def diff(before: str, after: str, name: str) -> str:
    """A unified diff of at most DIFF_CHARACTERS; of a large rewrite just how many lines it replaced."""
    old, new = _lines(before), _lines(after)
    lead = _same(old, new)
    tail = _same(old[lead:][::-1], new[lead:][::-1])
    gone, come = len(old) - lead - tail, len(new) - lead - tail
    if max(gone, come) > MAX_COMPARED:
        return f"{gone:,} lines were replaced by {come:,}."
    # Only the part that differs is compared: difflib takes seconds for a long file.
    first, rest = max(lead - _CONTEXT_LINES, 0), max(tail - _CONTEXT_LINES, 0)
    part = (old[first : len(old) - rest], new[first : len(new) - rest])
    found = difflib.unified_diff(*part, f"a/{name}", f"b/{name}", lineterm="", n=_CONTEXT_LINES)
    return _capped([_HUNK.sub(_shift(first), line)[:DIFF_LINE] for line in found])


def _lines(text: str) -> list[str]:
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _same(left: Iterable[str], right: Iterable[str]) -> int:
    """How many lines two texts have in common at their start."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def _shift(lines: int) -> Callable[[re.Match[str]], str]:
    def shifted(hunk: re.Match[str]) -> str:
        old, old_length, new, new_length = hunk.groups()
        return f"@@ -{int(old) + lines}{old_length} +{int(new) + lines}{new_length} @@"

    return shifted


def _capped(lines: list[str]) -> str:
    size = 0
    for kept, line in enumerate(lines):
        size += len(line) + 1
        if size > DIFF_CHARACTERS:
            return "\n".join([*lines[:kept], f"... {len(lines) - kept:,} more lines"])
    return "\n".join(lines)
