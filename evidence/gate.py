"""The check of an answer before it counts as done. CHECKS is the table of what is checked at which level."""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

from ml_intern.evidence.checks.cards import card_claims
from ml_intern.evidence.checks.code import code_findings, unread_code
from ml_intern.evidence.checks.data import data_findings, fitted_findings
from ml_intern.evidence.checks.files import artifact_findings, file_claims, upload_claims
from ml_intern.evidence.checks.hints import without_hints
from ml_intern.evidence.checks.inputs import input_findings, overridden_findings
from ml_intern.evidence.checks.lineage import latest_lineage, lineage_findings
from ml_intern.evidence.checks.numbers import Numbers, number_claims
from ml_intern.evidence.checks.patched import patched_findings
from ml_intern.evidence.checks.prose.conclusions import conclusion_findings
from ml_intern.evidence.checks.prose.sizes import size_claims
from ml_intern.evidence.checks.prose.techniques import technique_findings
from ml_intern.evidence.checks.statistics import statistic_findings
from ml_intern.evidence.checks.tries import try_findings
from ml_intern.evidence.checks.words import names_metric, word_claims
from ml_intern.evidence.findings import Finding
from ml_intern.evidence.locks import changed_locks, changed_paths
from ml_intern.evidence.numbers.amounts import amount_claims
from ml_intern.evidence.numbers.evaluated_rows import evaluated_row_findings
from ml_intern.evidence.numbers.stated import stated_in
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.evidence.verdict import AnswerVerdict, Claim
from ml_intern.graph.limits import VERIFY_LEVELS, VerifyLevel

_MAX_FINDINGS: Final = 30
_SIGNAL: Final = re.compile(
    r"(?m)^\S+: line \d+: +\d+ "
    r"(Segmentation fault|Aborted|Bus error|Illegal instruction|Floating point exception|Killed)\b"
)
"""The line of bash about a program that a signal ended."""


@dataclass(frozen=True)
class Case:
    """An answer and the evidence of its thread."""

    answer: str
    seen: Observations

    @cached_property
    def numbers(self) -> Numbers:
        """Return the numbers of the thread."""
        return Numbers(self.seen)

    @cached_property
    def number_claims(self) -> list[Claim]:
        """Return the claims of the answer that are numbers."""
        return list(number_claims(self.answer, self.numbers))

    @cached_property
    def used(self) -> list[Execution]:
        """Return the executions that the numbers of the answer come from, or else the last one of a program."""
        return self.measuring or list(self.seen.programs[-1:])

    @cached_property
    def measuring(self) -> list[Execution]:
        """Return the executions that the numbers of the answer come from."""
        sources = {one.source.rpartition(" of ")[2] for one in self.number_claims if one.source}
        return [one for one in self.seen.programs if one.name in sources]

    @cached_property
    def behind(self) -> list[Execution]:
        """Return the used executions and those that wrote what these read, such as a training, by their start."""
        return sorted((run for run in latest_lineage(self.used, self.seen) if run.ran), key=lambda run: run.began)

    @cached_property
    def reports(self) -> bool:
        """Whether the answer reports a result."""
        return bool(self.number_claims) or names_metric(self.answer)


def _inputs(case: Case) -> Iterable[Finding]:
    return input_findings(case.answer, case.seen, case.used) if case.reports else ()


def _rows(case: Case) -> Iterable[Finding]:
    return evaluated_row_findings(case.answer, case.seen, case.used) if case.reports else ()


def _watched(case: Case) -> Iterable[Finding]:
    _, watched = changed_locks(case.seen.locks, case.seen.workspace)
    return [Finding("watched file", line) for line in watched]


def _rewritten(case: Case) -> Iterable[Finding]:
    """Yield the locked files that a command wrote and that are as they were. Numbers printed since are in doubt."""
    changed = {str(path) for path in changed_paths(case.seen.locks)}
    locked = {row.ref for row in case.seen.locks if row.body["kind"] == "lock"} - changed
    for run in case.seen.executions:
        for path in sorted(locked & run.written.keys()):
            since = case.reports and any(run.began <= one.began for one in case.used)
            message = f"{run.name} wrote {case.seen.short(path)}, which is locked, and it was restored afterwards"
            yield Finding("rewritten lock", message, level="contradiction" if since else "warning")


@dataclass(frozen=True)
class AnswerCheck:
    """One row of CHECKS: its name, the lowest level that runs it, and what it returns for an answer."""

    name: str
    level: VerifyLevel
    run: Callable[[Case], Iterable[Claim | Finding]]


CHECKS: Final = (
    AnswerCheck("numbers", "quick", lambda case: case.number_claims),
    AnswerCheck("words", "quick", lambda case: word_claims(case.answer, case.seen, case.behind, case.numbers.printed)),
    AnswerCheck("amounts", "quick", lambda case: amount_claims(case.answer, case.seen, case.behind)),
    AnswerCheck("files", "quick", lambda case: file_claims(case.answer, case.seen)),
    AnswerCheck("sizes", "quick", lambda case: size_claims(case.answer, case.seen)),
    AnswerCheck("uploads", "quick", lambda case: upload_claims(case.answer, case.seen)),
    AnswerCheck("artifacts", "quick", lambda case: artifact_findings(case.answer, case.seen)),
    AnswerCheck("cards", "quick", lambda case: card_claims(case.numbers)),
    AnswerCheck("inputs", "quick", _inputs),
    AnswerCheck("overridden checks", "quick", lambda case: overridden_findings(case.seen)),
    AnswerCheck("lineage", "quick", lambda case: lineage_findings(case.answer, case.seen, case.measuring)),
    AnswerCheck("fitted files", "quick", lambda case: fitted_findings(case.seen, case.measuring, case.behind)),
    AnswerCheck("code", "quick", lambda case: code_findings(case.answer, case.seen, case.used) if case.reports else ()),
    AnswerCheck("rows", "quick", _rows),
    AnswerCheck("tries", "quick", lambda case: try_findings(case.answer, case.seen) if case.reports else ()),
    AnswerCheck("data", "standard", lambda case: data_findings(case.seen, case.used) if case.reports else ()),
    AnswerCheck("patched libraries", "quick", lambda case: patched_findings(case.seen, case.used)),
    AnswerCheck("watched files", "quick", _watched),
    AnswerCheck("rewritten locks", "quick", _rewritten),
    AnswerCheck(
        "statistics",
        "quick",
        lambda case: statistic_findings(case.answer, case.seen, case.used, case.numbers.printed),
    ),
    AnswerCheck(
        "conclusions",
        "quick",
        lambda case: conclusion_findings(case.answer, case.seen, case.measuring, case.numbers.printed),
    ),
    AnswerCheck("techniques", "quick", lambda case: technique_findings(case.answer, case.seen, case.measuring)),
)
"""The checks of an answer. A level includes the checks of the levels below it."""


def has_claims(answer: str) -> bool:
    """Return whether an answer states something that evidence could support or contradict."""
    return any(one.firm or one.noun or one.unit or one.compared for one in stated_in(answer))


async def check_answer(answer: str, seen: Observations) -> AnswerVerdict:
    """Return the verdict on an answer."""
    return await asyncio.to_thread(_verdict, Case(answer, seen))


def _verdict(case: Case) -> AnswerVerdict:
    found: list[Claim | Finding] = []
    incomplete = _incomplete(case.seen)
    for check in _checks(case.seen.level):
        try:
            found += check.run(case)
        except Exception as error:  # noqa: BLE001  a check that fails must not pass for one that found nothing
            incomplete.append(f"the check of {check.name} failed: {type(error).__name__}: {error}")
    locked, _ = changed_locks(case.seen.locks, case.seen.workspace)
    return AnswerVerdict(
        case.seen.level,
        _once([one for one in found if isinstance(one, Claim)]),
        _once([one for one in found if isinstance(one, Finding)])[:_MAX_FINDINGS],
        tuple(locked),
        tuple(incomplete),
    )


def _checks(level: str) -> Sequence[AnswerCheck]:
    reached = VERIFY_LEVELS[: VERIFY_LEVELS.index(level) + 1] if level in VERIFY_LEVELS else VERIFY_LEVELS
    return [check for check in CHECKS if check.level in reached]


T = TypeVar("T", Claim, Finding)


def _once(found: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(found))


def _incomplete(seen: Observations) -> list[str]:
    missed = [f"{run.name}: {run.missed}" for run in seen.programs if run.missed and not run.remote]
    silent = [f"{run.name}: {why}" for run in seen.programs if (why := without_hints(run))]
    return [*missed, *silent, *_crashes(seen), *dict.fromkeys(unread_code(seen))]


def _crashes(seen: Observations) -> list[str]:
    """Return the programs that a signal ended while their command succeeded: `python3 train.py; true`."""
    ended = [(run.name, match[1]) for run in seen.programs if run.state == "done"
             for match in _SIGNAL.finditer(run.text)]  # fmt: skip
    return list(dict.fromkeys(f"{name}: a program ended early: {signal}" for name, signal in ended))
