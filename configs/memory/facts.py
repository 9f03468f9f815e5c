"""The text of a memory file: one fact a line. Pure."""

import re
from dataclasses import dataclass
from itertools import count

MAX_FACT, MAX_EVIDENCE = 300, 300
"""Limits in characters."""
MAX_ADVICE = 4_000
"""Limit in characters for what a thread is shown."""
_LINE = re.compile(
    r"- (?P<struck>~~)?(?P<text>.+?)(?(struck)~~)(?: \((?P<about>\d{4}-\d\d-\d\d[^()]*(?:\([^()]*\)[^()]*)*)\))?"
)
_CONTRADICTED = "; contradicted "


@dataclass(frozen=True)
class Fact:
    """A fact, its source (a run, a file or an address) and its date; a line the user wrote may have only the fact."""

    text: str
    date: str = ""
    """The day it was learned, as YYYY-MM-DD."""
    evidence: str = ""
    contradicted: str = ""
    """The day a later fact contradicted it, as YYYY-MM-DD."""

    @property
    def line(self) -> str:
        """Return its line in the file."""
        struck = "~~" if self.contradicted else ""
        source = f", from {self.evidence}" if self.evidence else ""
        about = f" ({self.date}{source}{_CONTRADICTED + self.contradicted if struck else ''})" if self.date else ""
        return f"- {struck}{self.text}{struck}{about}"


def parse_fact(line: str) -> Fact | None:
    """Return the fact in a line of the file, None for any other line."""
    found = _LINE.fullmatch(line.rstrip())
    if found is None:
        return None
    about, _, day = (found["about"] or "").partition(_CONTRADICTED)
    date, _, evidence = about.partition(", from ")
    return Fact(found["text"], date, evidence, day)


def facts_in(text: str) -> dict[int, Fact]:
    """Return the facts of a file, numbered from 1 in the order of its lines."""
    numbers = count(1)
    return {next(numbers): fact for line in text.splitlines() if (fact := parse_fact(line))}


def replaced(text: str, number: int, fact: Fact | None) -> str:
    """Return the file with another fact in place of fact `number`, or without it. Other lines stay as they are."""
    lines, seen = list[str](), 0
    for line in text.splitlines():
        seen += parse_fact(line) is not None
        if seen != number or parse_fact(line) is None:
            lines.append(line)
        elif fact is not None:
            lines.append(fact.line)
    return "\n".join(lines) + "\n"


def as_advice(text: str) -> str:
    """Return the facts for the model, numbered, the latest first, as far as they fit into MAX_ADVICE."""
    lines, size = list[str](), 0
    facts = facts_in(text)
    for number, fact in reversed(facts.items()):
        line = f"{number}. {fact.line.removeprefix('- ')}"
        size += len(line) + 1
        if size > MAX_ADVICE:
            return "\n".join([*lines, f"[{len(facts) - len(lines)} older facts omitted]"])
        lines.append(line)
    return "\n".join(lines)
