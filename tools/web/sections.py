"""Sections of a markdown text, found by heading, and shown one by one or as an outline."""

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
_MIN_SIMILARITY = 75
MAX_OUTLINED = 80
LONG = 15_000
"""Characters above which the sections of a page are listed before its text."""


@dataclass(frozen=True)
class Section:
    """A heading and the text under it, including its subsections."""

    title: str
    level: int
    anchor: str
    text: str


def parse_sections(markdown: str) -> list[Section]:
    """Return the sections of a text in order. Text before the first heading belongs to no section."""
    lines = markdown.splitlines()
    heads = _headings(lines)
    found = list[Section]()
    for place, (line, level, title) in enumerate(heads):
        end = next((later for later, deep, _ in heads[place + 1 :] if deep <= level), len(lines))
        found.append(Section(_plain(title), level, _anchor(title), "\n".join(lines[line:end]).strip()))
    return found


def find_section(sections: Sequence[Section], wanted: str, where: str) -> Section:
    """Return the section with this number, heading or anchor, or the one with the most similar heading.

    Raises:
        ToolError: there is none; the message lists the existing ones.
    """
    key = wanted.strip().lstrip("#").lower()
    for matches in (_is_exactly, _is_numbered, _contains):
        found = next((section for section in sections if matches(section, key)), None)
        if found is not None:
            return found
    titles = [section.title.lower() for section in sections]
    best = fuzzy.extractOne(key, titles, scorer=fuzz.WRatio, score_cutoff=_MIN_SIMILARITY)
    if best is None:
        titles_shown = "; ".join(section.title for section in sections[:MAX_OUTLINED]) or "none"
        raise ToolError(f"{where} has no section {wanted[:100]!r}; its sections are: {titles_shown}")
    return sections[best[2]]


def outline(sections: Sequence[Section]) -> str:
    """List the headings with the length of each section in characters."""
    top = min((section.level for section in sections), default=1)
    lines = [f"{'  ' * (s.level - top)}- {s.title} ({len(s.text):,})" for s in sections]
    return "\n".join(capped(lines, MAX_OUTLINED))


def render_page(found: PageText, where: str, section: str = "") -> str:
    """Return a page's text, a long one after its outline, or one section of it. Raises ToolError."""
    sections = parse_sections(found.text)
    if section:
        return find_section(sections, section, where).text
    notes = [f"({found.note})"] if found.note else []
    contents = (
        [f"Sections, with their lengths in characters:\n{outline(sections)}"]
        if len(found.text) > LONG and sections
        else []
    )
    return "\n\n".join([*notes, *contents, with_title(found)])


def with_title(found: PageText) -> str:
    """Return the text under its title, unless it already begins with it."""
    return f"# {found.title}\n\n{found.text}" if found.title and found.title not in found.text[:500] else found.text


def _headings(lines: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return line, level and text of every heading outside code blocks."""
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
    anchor = _ANCHOR.search(title)
    return (anchor[1] if anchor else re.sub(r"[^\w]+", "-", _plain(title)).strip("-")).lower()


def _is_exactly(section: Section, key: str) -> bool:
    return key in (section.title.lower(), section.anchor)


def _is_numbered(section: Section, key: str) -> bool:
    """Return whether the heading begins with this number, as in "4" for "4. Experiments"."""
    return bool(re.fullmatch(r"[\dA-Za-z](?:\.?\d+)*", key)) and bool(
        re.match(rf"(?:section\s+|appendix\s+)?{re.escape(key)}(?:[.):\s]|$)", section.title.lower())
    )


def _contains(section: Section, key: str) -> bool:
    return len(key) > 2 and key in section.title.lower()
