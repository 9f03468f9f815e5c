"""Check the report of a sub-agent: each claim cites sources that were opened and that contain its numbers. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ml_intern.execution.tool import ReviewedReport, SourceRead
from ml_intern.tools.research.sentences import Passage, passages
from ml_intern.tools.research.sources import Citation, Readings, citations, numbers_in, source_list, unsupported

NO_SOURCE = "[no source given]"
NOT_OPENED = "[source not opened: {}]"
NOT_IN_SOURCE = "[not found in the source: {}]"
_MAX_NAMED = 12
_MAX_SHOWN = 200
_MIN_CLAIM = 25
_GAP = re.compile(r"\W*(?:not found|(?:i |what i )?could not (?:be )?f(?:i|ou)nd)\b", re.IGNORECASE)
_NO_CLAIM = re.compile(r"[:?][\s*_`)]*$")
_ADVICE = {
    NO_SOURCE: "These claims have no source; cite the source you used, or remove the claim",
    NOT_OPENED: "These cite a source you did not open; open it and check the claim, or remove the claim",
    NOT_IN_SOURCE: "The cited sources do not contain these numbers; correct them, or cite the source that has them",
}


@dataclass(frozen=True)
class FlaggedClaim:
    """A claim that fails the check: one of the three marks, and the sources or numbers it names."""

    passage: Passage
    mark: str
    named: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """The mark as it stands in the report."""
        return self.mark.format(", ".join(self.named))


def review(report: str, readings: Sequence[SourceRead], task: str) -> ReviewedReport:
    """Mark each claim without a source, with a source that was not opened, or with numbers its sources lack."""
    findings = list(check(report, readings, task))
    marked = report
    for found in reversed(findings):
        place = _place(found.passage)
        gap = " " if marked[place - 1 : place].strip() else ""
        marked = f"{marked[:place]}{gap}{found.note}{' ' if marked[place : place + 1] == '|' else ''}{marked[place:]}"
    return ReviewedReport(marked, _correction(findings))


def check(report: str, readings: Sequence[SourceRead], task: str) -> Sequence[FlaggedClaim]:
    """Return what is wrong with the claims of a report, in their order."""
    listed, opened = source_list(report), Readings(readings)
    found = (_check(one, listed, opened, task) for one in passages(report))
    return [one for one in found if one]


def _check(passage: Passage, listed: dict[str, str], opened: Readings, task: str) -> FlaggedClaim | None:
    text = passage.text
    if _GAP.match(text):
        return None
    cited = citations(text, listed) or citations(passage.context, listed)
    if not cited:
        return FlaggedClaim(passage, NO_SOURCE) if _is_claim(text) else None
    sources = [one for one in cited if not one.is_own]
    missing = tuple(_shown(one) for one in sources if not opened.of(one))
    if missing:
        return FlaggedClaim(passage, NOT_OPENED, missing)
    texts = opened.continued([reading for one in sources for reading in opened.of(one)])
    if len(sources) < len(cited) or None in texts:
        return None
    absent = unsupported(text, [one for one in texts if one], task)
    return FlaggedClaim(passage, NOT_IN_SOURCE, tuple(absent)) if absent else None


def _is_claim(text: str) -> bool:
    """Whether a passage without a citation states something: not an introduction, a question or a few words."""
    return not _NO_CLAIM.search(text) and (len(text.strip(" |")) >= _MIN_CLAIM or bool(numbers_in(text)))


def _shown(citation: Citation) -> str:
    if citation.target == citation.shown:
        return citation.shown[:_MAX_SHOWN]
    return f"{citation.shown} {citation.target[:_MAX_SHOWN] or 'is not in the list of sources'}"


def _place(passage: Passage) -> int:
    """Return where a mark belongs: at the end of the claim, and inside the last cell of a row."""
    if not passage.text.lstrip().startswith("|"):
        return passage.end
    return passage.end - (1 if passage.text.rstrip().endswith("|") else 0)


def _correction(findings: Sequence[FlaggedClaim]) -> str:
    if not findings:
        return ""
    parts = ["Your report is not complete yet. Write the whole report again, because its reader sees nothing else."]
    for mark, advice in _ADVICE.items():
        lines = [_line(one) for one in findings if one.mark == mark]
        if lines:
            parts.append("\n".join([f"{advice}:", *lines[:_MAX_NAMED]]))
    parts.append("End a conclusion of your own with [my inference].")
    return "\n\n".join(parts)


def _line(found: FlaggedClaim) -> str:
    claim = " ".join(found.passage.text.split())[:_MAX_SHOWN]
    return f"- {claim}" + (f" ({', '.join(found.named)})" if found.named else "")
