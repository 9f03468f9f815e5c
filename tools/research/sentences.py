"""Split a report into its claims: sentences, list items and table rows, each with its place in the text. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_FENCE: Final = re.compile(r"\s*(```|~~~)")
_BULLET: Final = re.compile(r"\s*(?:>\s*)*(?:[-*+]|\d+[.)])\s+")
_HEADING: Final = re.compile(r"\s*#{1,6}\s")
_RULE: Final = re.compile(r"\s*\|?[\s|:-]*-[\s|:-]*")
_ASIDE: Final = re.compile(
    r"\W*(?:not found|what i could not \w+|unknown|open questions?|sources?|references)\W*", re.IGNORECASE
)
FOOTNOTE: Final = re.compile(r"\s*\[\^?\d{1,3}\](?::\s+\S|\s+(?:https?://|arxiv)).*", re.IGNORECASE)
"""A line that defines a numbered source."""
_LINK: Final = r"\[[^\[\]\n]*\]\([^()\s]*\)"
GROUP: Final = rf"(?:{_LINK}|\[[^\[\]]{{1,400}}\]|\(\s*(?:{_LINK}[\s,;]*)+\))"
"""A citation: brackets, a link, or links in parentheses."""
_OPAQUE: Final = re.compile(rf"`[^`\n]*`|{GROUP}|\((?:[^()]|\([^()]*\)){{1,300}}\)|https?://[^\s)\]>]*[^\s)\]>.,;:!?]")
_END: Final = re.compile(r"[.!?\u3002]+[\"'\u201d\u2019*_)]*(?=\s|$|\[)|\u3002|$")
_GROUPS: Final = re.compile(rf"\s*(?:{GROUP}[ \t]*)+")
_SHORT: Final = re.compile(
    r"(?:\b(?:et al|e\.g|i\.e|cf|vs|approx|ca|resp|incl|dr|prof|mr|mrs|ms|st|w\.r\.t|a\.k\.a)|(?<![\w.])[A-Z])\.$",
    re.IGNORECASE,
)
_LABEL: Final = re.compile(r"\b(?:figs?|eqs?|secs?|tabs?|no|nos|pp?|ch|app|vol|ref|refs)\.$", re.IGNORECASE)


@dataclass(frozen=True)
class Passage:
    """A claim at `start` to `end` of a report. `context` is the text before a table, whose citations cover its rows."""

    start: int
    end: int
    text: str
    context: str = ""


@dataclass(frozen=True)
class _Block:
    start: int
    end: int
    kind: str


def passages(report: str) -> Iterator[Passage]:
    """Yield every sentence, list item and table row that may be a claim.

    Headings, code, and what follows "Not found" or "Sources" are left out. A list item is one claim if its only
    citation ends it.
    """
    before = ""
    for block in _blocks(report):
        text = report[block.start : block.end]
        if block.kind == "row":
            yield Passage(block.start, block.end, text, before)
            continue
        before = text
        if block.kind == "item" and _ends_with_only_citation(text):
            yield Passage(block.start, block.end, text)
            continue
        for start, end in _sentences(text):
            yield Passage(block.start + start, block.start + end, text[start:end])


def _blocks(report: str) -> Iterator[_Block]:
    """Yield paragraphs, list items and table rows without the header, as offsets."""
    lines = _prose_lines(report)
    current: _Block | None = None
    in_table = False
    for start, line in lines:
        if _is_row(line):
            if current:
                yield current
                current = None
            if in_table and not _RULE.fullmatch(line):
                yield _Block(start, start + len(line.rstrip()), "row")
            in_table = True
            continue
        in_table = False
        bullet = _BULLET.match(line)
        if current and (bullet or not line.strip()):
            yield current
            current = None
        if line.strip():
            opening = _Block(
                start + (bullet.end() if bullet else len(line) - len(line.lstrip())), 0, "item" if bullet else "text"
            )
            current = _Block((current or opening).start, start + len(line.rstrip()), (current or opening).kind)
    if current:
        yield current


def _is_row(line: str) -> bool:
    return line.lstrip().startswith("|")


def _prose_lines(report: str) -> Iterator[tuple[int, str]]:
    """Yield the start and text of every line; those of code, headings and asides are empty."""
    start, in_code, skipping = 0, False, False
    for line in report.split("\n"):
        is_fence, is_head = bool(_FENCE.match(line)), bool(_HEADING.match(line))
        in_code ^= is_fence
        is_aside = bool(_ASIDE.fullmatch(line))
        skipping = is_aside or (skipping and not is_head)
        is_empty = is_fence or in_code or is_head or skipping or bool(FOOTNOTE.fullmatch(line))
        yield start, "" if is_empty else line
        start += len(line) + 1


def _ends_with_only_citation(text: str) -> bool:
    groups = list(re.finditer(rf"{GROUP}(?:\s*{GROUP})*", text))
    return len(groups) == 1 and not re.search(r"\w", text[groups[0].end() :])


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield the offsets of the sentences of a text. Citations after a full stop belong to the sentence before it."""
    masked = _OPAQUE.sub(lambda found: "\u2591" * len(found[0]), text)
    start = 0
    for found in _END.finditer(masked):
        if found.end() <= start or (found[0] and not _is_end(text, masked, start, found)):
            continue
        end = _with_citations(text, start, found)
        if text[start:end].strip():
            yield start + len(text[start:end]) - len(text[start:end].lstrip()), end
        start = end


def _is_end(text: str, masked: str, start: int, found: re.Match[str]) -> bool:
    """Whether a full stop ends a sentence: it is not in an abbreviation, and a capital letter or a citation follows."""
    before, after = masked[start : found.start() + 1], text[found.end() :].lstrip()
    if _SHORT.search(before) or (_LABEL.search(before) and after[:1].isdigit()):
        return False
    cited = before.rstrip(".!? ").endswith("\u2591") or bool(re.match(GROUP, after))
    return cited or not after[:1].islower()


def _with_citations(text: str, start: int, found: re.Match[str]) -> int:
    """Return the end of a sentence with the citations that follow it, unless they begin the next sentence."""
    groups = _GROUPS.match(text, found.end())
    if groups is None:
        return found.end()
    cited = re.search(rf"{GROUP}\s*$", text[start : found.start()])
    begins = re.match(r"\s*[a-z]", text[groups.end() :])
    return found.end() if cited and begins else len(text[: groups.end()].rstrip())
