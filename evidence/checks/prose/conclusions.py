"""Conclusions that need more than the number they stand beside: significance, a beaten baseline, other domains."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ml_intern.evidence.findings import Finding
from ml_intern.evidence.numbers.agreement import Measurements
from ml_intern.evidence.numbers.stated import Stated, stated_in
from ml_intern.evidence.observations import Execution, Observations

_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+|\n")
_DENIED: Final = re.compile(
    r"(?i)\b(?:not|no|never|cannot|none|neither|without|whether|if|would|could|may|might|should|must|"
    r"to (?:test|check|see)|unknown|untested)\b|n't\b"
)
_SIGNIFICANT: Final = re.compile(
    r"(?i)\bstatistical(?:ly)?[ -]significan\w+|"
    r"\bsignificant(?:ly)?\s+(?:better|worse|higher|lower|outperform\w*|improve\w*|difference)\b|"
    r"\b(?:difference|improvement|gain|effect)s?\s+(?:is|are|was|were)\s+(?:\w+\s+)?significant\b|"
    r"\bp(?:[ -]?value)?\s*[<\u2264]\s*0?\.\d+"
)
_TESTED: Final = re.compile(
    r"(?i)\bp[ _-]?val|\bp\s*[<=]|t[ _-]?test|mcnemar|wilcoxon|binom|chi2|permut|bootstrap|mannwhitney|fisher|anova|"
    r"f_oneway|significan|confidence|interval|\bCI\b|percentile|quantile|\bsem\b|standard error|kstest|ks_2samp|"
    r"pvalue|pearsonr|spearmanr|linregress|statsmodels|norm\.(?:cdf|sf|ppf)|\bt\.(?:cdf|sf|ppf)|\bOLS\b"
)
_BEATEN: Final = re.compile(
    r"(?i)\b(?:outperform\w*|beat\w*|surpass\w*|exceed\w*|improv\w+ (?:on|over|upon)|(?:better|higher|stronger) than|"
    r"ahead of)\s+(?:[\w-]+\s+){0,5}?"
    r"(?:baseline|(?:previous|earlier) (?:model|version|best)|(?:old|default) model|competitor)s?\b"
)
_BEST_KNOWN: Final = re.compile(
    r"(?i)\b(?:(?:achiev|reach|set|obtain|match|deliver|yield|establish)\w*|(?:surpass|outperform|beat|exceed)\w*|is|are|represents?|new)\s+"
    r"(?:the\s+|a\s+|an\s+|now\s+|new\s+|current\s+|previous\s+)*(?:state[ -]of[ -]the[ -]art|SOTA)\b"
    r"(?!\s+(?:model|method|architecture|encoder|optimi[sz]er|library|approach|technique|transformer|network|algorithm)s?\b)|"
    r"\b(?:state[ -]of[ -]the[ -]art|SOTA)\s+(?:performance|results?|accuracy|scores?|numbers?|quality)\b"
)
_ELSEWHERE: Final = re.compile(
    r"(?i)\bgenerali[sz]\w*\s+(?:\w+\s+)?to\s+(?:\w+\s+)?(?:unseen|new|other|different|any|all)\s+(?:\w+\s+)?"
    r"(?:domain|hospital|site|population|distribution|language|dataset|customer|region|countr|market|device|task)\w*|"
    r"\brobust(?:ly)?\s+(?:to|under|against)\s+(?:\w+\s+){0,2}(?:shift|noise|drift|attack|perturbation|corruption)s?\b"
)
_TABLE: Final = re.compile(r"\.(?:csv|tsv|jsonl|parquet|npz|npy|arrow|txt|json|h5|feather)$")
_SHIFTED: Final = re.compile(r"(?i)nois|perturb|shift|corrupt|attack|drift|group|domain|site|hospital|leave[_-]?one")
_IMPORT: Final = re.compile(r"(?m)^\s*(?:from|import)\s[^\n(]*(?:\([^)]*\))?$")
_MIN_VALUES: Final = 2
_MAX_FILES: Final = 2


@dataclass(frozen=True)
class _Evidence:
    """The evidence that the rules on one answer read."""

    stated: Sequence[Stated]
    seen: Observations
    used: Sequence[Execution]
    measured: Measurements

    def traces(self, pattern: re.Pattern[str]) -> bool:
        """Whether the pattern is in the code, a command or the output of any program of the thread."""
        texts = (text for run in self.seen.programs for text in (run.command, run.text, *self._code(run)))
        return any(pattern.search(text) for text in texts)

    def _code(self, run: Execution) -> Iterator[str]:
        """Yield the code of a run without its imports, which alone compute nothing."""
        yield from (_IMPORT.sub("", code) for _, code in self.seen.sources(run))

    @property
    def visible(self) -> bool:
        """Whether the code of every program of the thread is known."""
        return bool(self.used) and all(not run.remote and self.seen.sources(run) for run in self.used)


def conclusion_findings(
    answer: str, seen: Observations, used: Sequence[Execution], measured: Measurements
) -> Iterator[Finding]:
    """Yield the conclusions of an answer that nothing in the thread was computed for."""
    evidence = _Evidence(stated_in(answer), seen, used, measured)
    for rule, pattern, check in _RULES:
        for sentence in _SENTENCE.split(answer):
            found = pattern.search(sentence)
            if found and not _DENIED.search(sentence[max(0, found.start() - 60) : found.end()]):
                message = check(evidence, found)
                yield from (Finding(rule, f"{found[0].strip()!r}: {message}"),) if message else ()


def _significance(evidence: _Evidence, _found: re.Match[str]) -> str:
    read = any(_TESTED.search(text) for _, text in evidence.seen.reports)
    if read or not evidence.visible or evidence.traces(_TESTED):
        return ""
    return "no program computed a test of significance or an interval"


def _baseline(evidence: _Evidence, _found: re.Match[str]) -> str:
    """Return why nothing was compared: at most one value of each metric is known, and none of a baseline."""
    if evidence.measured.labelled(lambda about: bool(about.roles & {"baseline", "old"})) or evidence.seen.reports:
        return ""
    values: dict[str, set[float]] = {}
    for one in evidence.measured.all:
        values.setdefault(one.metric, set()).add(one.value)
    counts = {one.metric: len(values.get(one.metric, ())) for one in evidence.stated if one.firm and one.metric}
    if not counts or max(counts.values()) >= _MIN_VALUES:
        return ""
    return "no program measured what it is compared with"


def _best_known(evidence: _Evidence, _found: re.Match[str]) -> str:
    return "" if evidence.seen.reports else "no result of others was read in this thread"


def _elsewhere(evidence: _Evidence, _found: re.Match[str]) -> str:
    if not evidence.visible or any(run.missed for run in evidence.used) or evidence.traces(_SHIFTED):
        return ""
    opened = {path for run in evidence.used for path in run.opened if _TABLE.search(path)}
    if not opened or len(opened) > _MAX_FILES:
        return ""
    return "the programs read no data but " + ", ".join(sorted(evidence.seen.short(path) for path in opened))


_RULES: Final[tuple[tuple[str, re.Pattern[str], Callable[[_Evidence, re.Match[str]], str]], ...]] = (
    ("significance not tested", _SIGNIFICANT, _significance),
    ("baseline not measured", _BEATEN, _baseline),
    ("state of the art", _BEST_KNOWN, _best_known),
    ("other data not tried", _ELSEWHERE, _elsewhere),
)
"""The name of each rule, the words it reads, and the check that returns what is missing, or ""."""
