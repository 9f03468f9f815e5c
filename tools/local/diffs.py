"""The diff shown in the result of write and edit."""

import difflib
import re
from collections.abc import Callable, Iterable

from ml_intern.text.formatting import and_more, plural

MAX_COMPARED = 3_000
DIFF_CHARACTERS = 6_000
DIFF_LINE = 400
_CONTEXT_LINES = 2
_HUNK = re.compile(r"^@@ -(\d+)(\S*) \+(\d+)(\S*) @@")


def diff(before: str, after: str, name: str) -> str:
    """Return a unified diff of at most DIFF_CHARACTERS; for a large rewrite only the line counts."""
    old, new = _lines(before), _lines(after)
    head = _common_prefix(old, new)
    tail = _common_prefix(old[head:][::-1], new[head:][::-1])
    removed, added = len(old) - head - tail, len(new) - head - tail
    if max(removed, added) > MAX_COMPARED:
        return f"{plural(removed, 'line')} replaced by {added:,}."
    # Compare only the part that differs: difflib takes seconds for a long file.
    first, rest = max(head - _CONTEXT_LINES, 0), max(tail - _CONTEXT_LINES, 0)
    part = (old[first : len(old) - rest], new[first : len(new) - rest])
    found = difflib.unified_diff(*part, f"a/{name}", f"b/{name}", lineterm="", n=_CONTEXT_LINES)
    return _cut([_HUNK.sub(_shift(first), line)[:DIFF_LINE] for line in found])


def _lines(text: str) -> list[str]:
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _common_prefix(left: Iterable[str], right: Iterable[str]) -> int:
    """Return how many lines two texts share at their start."""
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


def _cut(lines: list[str]) -> str:
    size = 0
    for shown, line in enumerate(lines):
        size += len(line) + 1
        if size > DIFF_CHARACTERS:
            return "\n".join([*lines[:shown], f"... {and_more(len(lines), shown, 'line').removeprefix('and ')}"])
    return "\n".join(lines)
