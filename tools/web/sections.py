"""The sections of a markdown text: found by their headings, shown one by one or as an outline."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz
from rapidfuzz import process as fuzzy

from ml_intern.execution.call import ToolError
from ml_intern.text.formatting import capped
from ml_intern.tools.web.page_text import PageText

_HEADING = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r"[ \t]*(```+|~~~+)")
_ANCHOR = re.compile(r"\[\[([^\]]+)\]\]")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_CLOSE_ENOUGH = 75
MAX_OUTLINED = 80
LONG = 15_000
"""Characters above which the sections of a page are listed before its text."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, its own subsections included."""

    title: str
    level: int
    anchor: str
    text: str


def sections_of(markdown: str) -> list[Section]:
    """Every section of a text, in order; what stands before the first heading belongs to none."""
    lines = markdown.splitlines()
    heads = _headings(lines)
    found = list[Section]()
    for place, (line, level, title) in enumerate(heads):
        end = next((later for later, deep, _ in heads[place + 1 :] if deep <= level), len(lines))
        found.append(Section(_plain(title), level, _anchor(title), "\n".join(lines[line:end]).strip()))
    return found


def find_section(sections: Sequence[Section], wanted: str, where: str) -> Section:
    """The section with this number, heading or anchor, or the one whose heading is closest.

    Raises:
        ToolError: there is none; it names those there are.
    """
    key = wanted.strip().lstrip("#").lower()
    for matches in (_is_exactly, _is_numbered, _holds):
        found = next((section for section in sections if matches(section, key)), None)
        if found is not None:
            return found
    titles = [section.title.lower() for section in sections]
    best = fuzzy.extractOne(key, titles, scorer=fuzz.WRatio, score_cutoff=_CLOSE_ENOUGH)
    if best is None:
        known = "; ".join(section.title for section in sections[:MAX_OUTLINED]) or "none"
        raise ToolError(f"{where} has no section {wanted[:100]!r}; its sections are: {known}")
    return sections[best[2]]


def outline(sections: Sequence[Section]) -> str:
    """The headings with the length of what stands under each, in characters."""
    top = min((section.level for section in sections), default=1)
    lines = [f"{'  ' * (s.level - top)}- {s.title} ({len(s.text):,})" for s in sections]
    return "\n".join(capped(lines, MAX_OUTLINED))


def shown(found: PageText, where: str, section: str = "") -> str:
    """A page's text, or one section of it; above a long text stands what it consists of. Raises ToolError."""
    sections = sections_of(found.text)
    if section:
        return find_section(sections, section, where).text
    notes = [f"({found.note})"] if found.note else []
    listed = [f"Its sections, with their length:\n{outline(sections)}"] if len(found.text) > LONG and sections else []
    return "\n\n".join([*notes, *listed, head_and_text(found)])


def head_and_text(found: PageText) -> str:
    """The text under its title, which it may begin with already."""
    return f"# {found.title}\n\n{found.text}" if found.title and found.title not in found.text[:500] else found.text


def _headings(lines: Sequence[str]) -> list[tuple[int, int, str]]:
    """Line, level and text of every heading outside code."""
    found, fence = list[tuple[int, int, str]](), ""
    for number, line in enumerate(lines):
        if mark := _FENCE.match(line):
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        elif not fence and (heading := _HEADING.match(line)):
            found.append((number, len(heading[1]), heading[2]))
    return found


def _plain(title: str) -> str:
    return _LINK.sub(r"\1", _ANCHOR.sub("", title)).replace("**", "").replace("`", "").strip()


def _anchor(title: str) -> str:
    named = _ANCHOR.search(title)
    return (named[1] if named else re.sub(r"[^\w]+", "-", _plain(title)).strip("-")).lower()


def _is_exactly(section: Section, key: str) -> bool:
    return key in (section.title.lower(), section.anchor)


def _is_numbered(section: Section, key: str) -> bool:
    """Whether the heading begins with this number, as in "4" for "4. Experiments"."""
    return bool(re.fullmatch(r"[\dA-Za-z](?:\.?\d+)*", key)) and bool(
        re.match(rf"(?:section\s+|appendix\s+)?{re.escape(key)}(?:[.):\s]|$)", section.title.lower())
    )


def _holds(section: Section, key: str) -> bool:
    return len(key) > 2 and key in section.title.lower()
