"""The numbers in the output of programs and in their files, each with the label it was printed with."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from ml_intern.evidence.numbers.names import ROW_NOUNS, averaging, metrics_in, plain, roles_in

NUMBER: Final = re.compile(
    r"(?<![\w.])(?P<sign>[-+\u2212])?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)(?P<power>[eE][-+]?\d+)?(?!\.?\d)(?P<percent>\s?%)?"
)
_GLUED: Final = re.compile(r"(?<=[A-Za-z_])\d+(?=\w|$)|\b[fr][12]\b", re.IGNORECASE)
_DIGIT: Final = re.compile(r"\d")
_LETTER: Final = re.compile(r"[A-Za-z]")
_WORD: Final = re.compile(r"[a-z]+")
_CELL: Final = re.compile(r"[A-Za-z][\w .@/%-]{0,30}")
_COLUMN: Final = re.compile(r"\s*\|\s*|\s{2,}")
_SEPARATORS: Final = re.compile(r"[,;{}()\[\]|]|\s{3,}|\t")
_UNIT: Final = re.compile(
    r"(?:^|[ _(])(ms|us|\u00b5s|ns|s|sec|secs|seconds|microseconds|minutes|min|hours|h|percent|pct)\b"
)
_AFTER: Final = re.compile(r"\s*(ms|us|\u00b5s|ns|microseconds|s|sec|seconds|minutes|min|hours|h|%)?\b")
_WORDS_AFTER: Final = re.compile(r"[\s*_]*([A-Za-z][A-Za-z @-]*+)(?!\s*[=:]|\s*\d)")
"""Words after a number that do not begin the label of the next one."""
MAX_NUMBERS: Final = 20_000


class NumberLabel(NamedTuple):
    """The words before a number, and the metric, averaging, roles and unit that the words around it name."""

    label: str
    metric: str
    averaging: str
    roles: frozenset[str]
    unit: str
    counted: str
    """The last word of the label, which a count is of."""


class Measured(NamedTuple):
    """A number that a program printed, with its label. `token` is its digits as printed."""

    value: float
    token: str
    label: str
    metric: str
    averaging: str
    roles: frozenset[str]
    unit: str
    counted: str
    percent: bool
    group: int
    """Numbers of one list share it."""
    source: str


def measured_in(text: str, source: str) -> list[Measured]:
    """Return the numbers of a text with their labels, at most MAX_NUMBERS."""
    found: list[Measured] = []
    head: list[str] = []
    for place, line in enumerate(text.splitlines()):
        if not head and not _DIGIT.search(line) and "," not in line and "|" not in line and "  " not in line:
            continue
        cells = _cells(line)
        row = _table_row(line, head)
        found += _row_numbers(row, place, source) if row else _line_numbers(line, place, source)
        head = cells if cells else (head if row else [])
        if len(found) > MAX_NUMBERS:
            break
    return found[:MAX_NUMBERS]


def _cells(line: str) -> list[str]:
    """Return the names of a line that may head a table: two or more words and no numbers."""
    if ":" in line or "=" in line:
        return []
    parts = _columns(line)
    is_head = len(parts) > 1 and all(_CELL.fullmatch(part) for part in parts)
    return parts if is_head else []


def _columns(line: str) -> list[str]:
    return [part.strip() for part in (line.split(",") if "," in line else _COLUMN.split(line.strip(" |")))]


def _table_row(line: str, head: list[str]) -> list[tuple[str, re.Match[str]]]:
    """Return label and number of each cell of a row, if the line fits under the head."""
    if not head or "=" in line or ":" in line:
        return []
    parts = _columns(line)
    if len(parts) == len(head) + 1:
        names = ["", *head]
    elif len(parts) == len(head):
        names = head
    else:
        return []
    first = "" if NUMBER.fullmatch(parts[0]) else parts[0]
    pairs = [(f"{first} {name}".strip(), NUMBER.fullmatch(part)) for name, part in zip(names, parts, strict=True)]
    return [(label, match) for label, match in pairs if match]


def _row_numbers(row: list[tuple[str, re.Match[str]]], line: int, source: str) -> Iterator[Measured]:
    for place, (label, match) in enumerate(row):
        yield _measured(match, _about(label, ""), line * 1000 + place, source)


def _line_numbers(line: str, place: int, source: str) -> list[Measured]:
    """Return the numbers of a line. Lines that differ only in their numbers share the work on the labels."""
    matches = list(NUMBER.finditer(_unglued(line)))
    if not matches:
        return []
    labels = _labels(_shape(line, matches))
    if len(labels) != len(matches):
        labels = _labels(line)
    pairs = zip(matches, labels, strict=True)
    return [_measured(match, about, place * 1000 + group, source) for match, (about, group) in pairs]


def _unglued(line: str) -> str:
    """Return a line with the digits that belong to words replaced by letters."""
    return _GLUED.sub(lambda one: "x" * len(one[0]), line)


def _shape(line: str, matches: list[re.Match[str]]) -> str:
    """Return a line with each of its numbers replaced by 0."""
    parts, end = [], 0
    for match in matches:
        parts.append(line[end : match.start("digits")])
        end = match.end("power") if match["power"] else match.end("digits")
    return "0".join([*parts, line[end:]])


@lru_cache(maxsize=4096)
def _labels(line: str) -> tuple[tuple[NumberLabel, int], ...]:
    """Return label and group of each number of a line. Numbers without words between them share both, as in a list."""
    found = []
    label, end, group = "", 0, 0
    for match in NUMBER.finditer(_unglued(line)):
        between = line[end : match.start()]
        if _LETTER.search(between):
            label, group = _label(between), group + 1
        end = match.end()
        found.append((_labelled(label, line[end : end + 20]), group))
    return tuple(found)


def _label(between: str) -> str:
    """Return the words before a number, from the last separator that still leaves a word."""
    parts = [part for part in _SEPARATORS.split(between) if _LETTER.search(part)]
    return parts[-1][-80:] if parts else between[-80:]


def _labelled(label: str, after: str) -> NumberLabel:
    following, behind = _WORDS_AFTER.match(after), _AFTER.match(after)
    about = _about(label, following[1] if following else "")
    return about if about.unit else about._replace(unit=seconds_unit((behind[1] or "") if behind else ""))


def _measured(match: re.Match[str], about: NumberLabel, group: int, source: str) -> Measured:
    _, digits, power, percent = match.groups()
    value = float(f"{digits.replace(',', '')}{power or ''}")
    return Measured(value, digits, *about, percent is not None, group, source)


@lru_cache(maxsize=8192)
def _about(label: str, following: str) -> NumberLabel:
    """Return what the words around a number say. The words after it count if those before it name no metric."""
    words = plain(label)
    metrics = metrics_in(words)
    if not metrics and label.rstrip()[-1:] not in ("=", ":") and (metrics := metrics_in(plain(following))):
        words = f"{words} {plain(following)}"
    unit = _UNIT.search(words)
    metric = metrics[-1].metric if metrics else ""
    short = words.strip(" =:\"'")
    last, after = _WORD.findall(short), _WORD.findall(following.lower())
    counted = last[-1].rstrip("s") if last else ""
    if after and after[0].rstrip("s") in ROW_NOUNS and label.rstrip()[-1:] not in ("=", ":"):
        counted = "row"
    unit_word = seconds_unit(unit[1]) if unit else ""
    return NumberLabel(short, metric, averaging(words), roles_in(words), unit_word, counted)


def seconds_unit(word: str) -> str:
    """Return ns, us, ms, s, min or h for a word of a time unit, else ""."""
    word = word.lower()
    for unit, spellings in {
        "ms": ("ms", "milliseconds", "millisecond"),
        "us": ("us", "\u00b5s", "\u03bcs", "microseconds", "microsecond"),
        "ns": ("ns", "nanoseconds", "nanosecond"),
        "min": ("min", "minutes", "minute"),
        "h": ("h", "hours"),
    }.items():
        if word in spellings:
            return unit
    return "s" if word in {"s", "sec", "secs", "seconds"} else ""
