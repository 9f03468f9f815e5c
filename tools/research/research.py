"""The research tool: a sub-agent with reading tools answers a question in a thread of its own and cites its sources."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import ReviewedReport, SubagentQuota, ToolArgs, ToolContext, tool

READING_TOOLS = (
    "read", "docs_search", "docs_read", "papers", "datasets", "hub_search", "github", "web_search", "web_read",
)  # fmt: skip
SHARES: dict[str, tuple[int, int, float]] = {
    "quick": (12, 300_000, 0.5),
    "normal": (30, 1_500_000, 2.0),
    "thorough": (60, 4_000_000, 6.0),
}
"""Model calls, tokens and US dollars of a sub-agent, by the depth it is asked for."""
_SECONDS = 3_600.0


class ResearchArgs(ToolArgs):
    """What research takes."""

    question: str = Field(
        min_length=10,
        max_length=6_000,
        description="What to find out, complete in itself: the goal, what is known, which names and numbers matter.",
    )
    depth: Literal["quick", "normal", "thorough"] = Field("normal", description="How much it may spend on it.")


async def _go_on(handle: str, args: ResearchArgs, context: ToolContext) -> ToolResult:
    """Go on with the sub-agent that a killed process had started."""
    return await _ask(args, context, handle)


@tool(read_only=True, on_resume="reattach", reattach=_go_on, timeout=_SECONDS, path_args=())
async def research(args: ResearchArgs, context: ToolContext) -> ToolResult:
    """Give a question to a sub-agent that reads documentation, papers, datasets, GitHub and the web, and reports back.

    Use it where an answer takes many pages: which paper has the best result and its exact recipe, how the current API
    of a library is used, which dataset fits. It keeps those pages out of your context: you get claims, each with its
    source. It knows nothing of this conversation, so write a question that stands alone. Two run at the same time;
    it cannot change files or start sub-agents. Read the sources yourself where a detail decides.
    """
    return await _ask(args, context, "")


async def _ask(args: ResearchArgs, context: ToolContext, handle: str) -> ToolResult:
    if context.spawn is None or context.options.child:
        raise ToolError("there are no sub-agents here; use the reading tools yourself")
    known = tuple(name for name in READING_TOOLS if name in context.services.tools)
    return await context.spawn(
        args.question, context, SubagentQuota(known, *SHARES[args.depth]), resume=handle, review=review
    )


NO_SOURCE = "[no source given]"
NOT_SEEN = "[source not seen in this research]"
_MAX_NAMED = 12
_SHORT = 25
_FENCE = re.compile(r"\s*(```|~~~)")
_BULLET = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
_HEADING = re.compile(r"\s*#{1,6}\s")
_GAP = re.compile(r"\W*(?:not found|(?:i |what i )?could not (?:be )?f(?:i|ou)nd)\b", re.IGNORECASE)
_ASIDE = re.compile(
    r"\W*(?:not found|what i could not \w+|unknown|open questions?|sources?|references)\W*", re.IGNORECASE
)
_CITED = re.compile(r"\]\((?P<link>[^)\s]+)\)|\[(?P<named>[^\[\]]{3,400})\]|(?P<bare>https?://[^\s)\]>]+)")
_NUMBER = re.compile(r"\[(\d{1,2})\]")
_DEFINED = re.compile(r"\s*(?:[-*]\s*)?\[?(\d{1,2})[\].):]+\s*(\S.*)")
_OWN = re.compile(r"(?:my |own )?(?:inference|conclusion|estimate)s?", re.IGNORECASE)
_ARXIV = re.compile(r"\d{4}\.\d{4,5}")


@dataclass(frozen=True)
class Claim:
    """A statement of a report: where it ends, its text, and the sources it names."""

    last_line: int
    text: str
    sources: tuple[str, ...]


def review(report: str, seen: Sequence[str]) -> ReviewedReport:
    """The report with each claim marked that has no source, or one that nobody saw; and a word to its author."""
    lines, everything = report.splitlines(), "\n".join(seen).lower()
    bare, unseen = list[Claim](), list[Claim]()
    for claim in claims_of(report):
        if not claim.sources:
            bare.append(claim)
        elif not any(_is_seen(source, everything) for source in claim.sources):
            unseen.append(claim)
    for mark, claims in ((NO_SOURCE, bare), (NOT_SEEN, unseen)):
        for claim in claims:
            lines[claim.last_line] = f"{lines[claim.last_line]} {mark}"
    return ReviewedReport("\n".join(lines), _correction(bare, unseen))


def claims_of(report: str) -> list[Claim]:
    """The statements of a report. Headings, short lines, and what stands under "Not found" or "Sources" are none."""
    numbered = _numbered(report)
    return [
        Claim(last, text, _sources(text, numbered))
        for last, text in _blocks(report.splitlines())
        if len(text) >= _SHORT and not text.endswith(":") and not _GAP.match(text)
    ]


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The last line and the text of every bullet and paragraph; code and tables belong to what stands before them."""
    held, last, in_code, skipping = list[str](), 0, False, False
    for number, line in enumerate([*lines, ""]):
        if _FENCE.match(line):
            in_code = not in_code
            continue
        if in_code or line.lstrip().startswith("|"):
            continue
        is_head = bool(_HEADING.match(line))
        if (not line.strip() or is_head or _BULLET.match(line)) and held:
            yield last, " ".join(held)
            held = []
        is_aside = bool(_ASIDE.fullmatch(line))
        skipping = is_aside or (skipping and not is_head)
        if line.strip() and not is_head and not skipping:
            held.append(line.strip())
            last = number


def _numbered(report: str) -> dict[str, str]:
    """Sources that stand in a list at the end and are named by number."""
    tail = report[report.lower().rfind("source") :] if "source" in report.lower() else ""
    return {found[1]: found[2] for line in tail.splitlines() if (found := _DEFINED.match(line))}


def _sources(text: str, numbered: dict[str, str]) -> tuple[str, ...]:
    named = [next(group for group in found.groups() if group) for found in _CITED.finditer(text)]
    return (*named, *(numbered[number] for number in _NUMBER.findall(text) if number in numbered))


def _is_seen(source: str, everything: str) -> bool:
    """Whether what a source names occurs in what the sub-agent read or called."""
    if _OWN.fullmatch(source.strip()):
        return True
    arxiv = _ARXIV.search(source)
    if arxiv:
        return arxiv[0] in everything
    for part in re.split(r"[;,]\s+|\s+and\s+", source.lower()):
        key = re.sub(r"^https?://(?:www\.)?", "", part.strip().strip("`<>\"'")).split("#")[0].rstrip("/.")
        key = re.sub(r":\d+(?:-\d+)?$", "", key)
        if len(key) > 3 and key in everything:
            return True
    return False


def _correction(bare: Sequence[Claim], unseen: Sequence[Claim]) -> str:
    if not bare and not unseen:
        return ""
    parts = ["Your report is not complete yet. Write all of it again, as its reader sees nothing else."]
    for what, claims in (("These claims have no source", bare), ("These name a source you did not read", unseen)):
        if claims:
            named = "\n".join(f"- {claim.text[:200]}" for claim in claims[:_MAX_NAMED])
            parts.append(f"{what}; name the one you have it from, or leave the claim out:\n{named}")
    parts.append("A conclusion of your own ends with [my inference].")
    return "\n\n".join(parts)
