"""The research tool: a sub-agent with reading tools answers a question in a child thread and cites its sources."""

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
QUOTAS: dict[str, tuple[int, int, float]] = {
    "quick": (12, 300_000, 0.5),
    "normal": (30, 1_500_000, 2.0),
    "thorough": (60, 4_000_000, 6.0),
}
"""Maximum model calls, tokens and US dollars of a sub-agent, by requested depth."""
_SECONDS = 3_600.0


class ResearchArgs(ToolArgs):
    """The arguments of research."""

    question: str = Field(
        min_length=10,
        max_length=6_000,
        description="A self-contained question: the goal, what is already known, which names and numbers matter.",
    )
    depth: Literal["quick", "normal", "thorough"] = Field("normal", description="How much the sub-agent may spend.")


async def _resume(handle: str, args: ResearchArgs, context: ToolContext) -> ToolResult:
    """Continue the sub-agent that a killed process had started."""
    return await _spawn(args, context, handle)


@tool(read_only=True, on_resume="reattach", reattach=_resume, timeout=_SECONDS, path_args=())
async def research(args: ResearchArgs, context: ToolContext) -> ToolResult:
    """Ask a sub-agent that reads documentation, papers, datasets, GitHub and the web, and reports back.

    Use it for an answer that requires many pages: which paper has the best result and its exact recipe, how the current
    API of a library is used, which dataset fits. It keeps those pages out of your context: you get claims, each with
    its source. It knows nothing of this conversation, so ask a self-contained question. At most two run at the same
    time; it cannot change files or start sub-agents. Read the sources yourself when a detail is decisive.
    """
    return await _spawn(args, context, "")


async def _spawn(args: ResearchArgs, context: ToolContext, handle: str) -> ToolResult:
    if context.spawn is None or context.options.child:
        raise ToolError("sub-agents are not available here; use the reading tools yourself")
    known = tuple(name for name in READING_TOOLS if name in context.services.tools)
    return await context.spawn(
        args.question, context, SubagentQuota(known, *QUOTAS[args.depth]), resume=handle, review=review
    )


NO_SOURCE = "[no source given]"
NOT_SEEN = "[source not seen in this research]"
_MAX_NAMED = 12
_MIN_CLAIM = 25
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
    """A claim in a report: its last line, its text, and its sources."""

    last_line: int
    text: str
    sources: tuple[str, ...]


def review(report: str, seen: Sequence[str]) -> ReviewedReport:
    """Mark each claim without a source, or with a source the sub-agent did not read, and write a correction."""
    lines, seen_text = report.splitlines(), "\n".join(seen).lower()
    unsourced, unseen = list[Claim](), list[Claim]()
    for claim in find_claims(report):
        if not claim.sources:
            unsourced.append(claim)
        elif not any(_is_seen(source, seen_text) for source in claim.sources):
            unseen.append(claim)
    for mark, claims in ((NO_SOURCE, unsourced), (NOT_SEEN, unseen)):
        for claim in claims:
            lines[claim.last_line] = f"{lines[claim.last_line]} {mark}"
    return ReviewedReport("\n".join(lines), _correction(unsourced, unseen))


def find_claims(report: str) -> list[Claim]:
    """Return the claims of a report, without headings, short lines, and text under "Not found" or "Sources"."""
    numbered = _numbered(report)
    return [
        Claim(last, text, _sources(text, numbered))
        for last, text in _blocks(report.splitlines())
        if len(text) >= _MIN_CLAIM and not text.endswith(":") and not _GAP.match(text)
    ]


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the last line and text of every bullet and paragraph. Code and tables belong to the preceding one."""
    collected, last, in_code, skipping = list[str](), 0, False, False
    for number, line in enumerate([*lines, ""]):
        if _FENCE.match(line):
            in_code = not in_code
            continue
        if in_code or line.lstrip().startswith("|"):
            continue
        is_head = bool(_HEADING.match(line))
        if (not line.strip() or is_head or _BULLET.match(line)) and collected:
            yield last, " ".join(collected)
            collected = []
        is_aside = bool(_ASIDE.fullmatch(line))
        skipping = is_aside or (skipping and not is_head)
        if line.strip() and not is_head and not skipping:
            collected.append(line.strip())
            last = number


def _numbered(report: str) -> dict[str, str]:
    """Return the numbered sources of a list at the end."""
    tail = report[report.lower().rfind("source") :] if "source" in report.lower() else ""
    return {found[1]: found[2] for line in tail.splitlines() if (found := _DEFINED.match(line))}


def _sources(text: str, numbered: dict[str, str]) -> tuple[str, ...]:
    named = [next(group for group in found.groups() if group) for found in _CITED.finditer(text)]
    return (*named, *(numbered[number] for number in _NUMBER.findall(text) if number in numbered))


def _is_seen(source: str, seen_text: str) -> bool:
    """Return whether a source occurs in what the sub-agent read or called."""
    if _OWN.fullmatch(source.strip()):
        return True
    arxiv = _ARXIV.search(source)
    if arxiv:
        return arxiv[0] in seen_text
    for part in re.split(r"[;,]\s+|\s+and\s+", source.lower()):
        key = re.sub(r"^https?://(?:www\.)?", "", part.strip().strip("`<>\"'")).split("#")[0].rstrip("/.")
        key = re.sub(r":\d+(?:-\d+)?$", "", key)
        if len(key) > 3 and key in seen_text:
            return True
    return False


def _correction(unsourced: Sequence[Claim], unseen: Sequence[Claim]) -> str:
    if not unsourced and not unseen:
        return ""
    parts = ["Your report is not complete yet. Write the whole report again, because its reader sees nothing else."]
    for what, claims in (("These claims have no source", unsourced), ("These cite a source you did not read", unseen)):
        if claims:
            named = "\n".join(f"- {claim.text[:200]}" for claim in claims[:_MAX_NAMED])
            parts.append(f"{what}; cite the source you used, or remove the claim:\n{named}")
    parts.append("End a conclusion of your own with [my inference].")
    return "\n\n".join(parts)
