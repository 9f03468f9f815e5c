"""The verdict on an answer: its claims with their states, and the facts that were found. Plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ml_intern.evidence.findings import Finding

State = Literal["reproduced", "held", "unsupported", "contradicted"]
Status = Literal["held", "marked", "contradicted"]


@dataclass(frozen=True)
class Claim:
    """Something that an answer says, its state, and one line of evidence."""

    text: str
    state: State
    evidence: str
    name: str = ""
    """The metric or the kind of the claim."""
    value: float | None = None
    unit: str = ""
    source: str = ""
    """The run or command that supports it."""


@dataclass(frozen=True)
class AnswerVerdict:
    """The verdict on one answer."""

    level: str
    claims: Sequence[Claim] = ()
    findings: Sequence[Finding] = ()
    locks: Sequence[str] = ()
    """Locked files that changed, one line each."""
    incomplete: Sequence[str] = ()
    """Evidence that is missing, and why."""
    statements: Sequence[str] = ()
    """The statements that were written beside the delivered artifacts."""
    goal: Mapping[str, Any] | None = None
    """The goal of the thread with `state` (met, not met or unknown) and `why`; None without a goal."""

    holdout: Mapping[str, Any] | None = None
    """The score on the hold-out, see evidence/holdout.py; None without a hold-out."""

    evaluation: Mapping[str, Any] | None = None
    """How the numbers were computed again, with names relative to the workspace; None if they were not."""

    @property
    def status(self) -> Status:
        """Whether the answer is contradicted, marked as not fully supported, or held."""
        red = any(one.state == "contradicted" for one in self.claims) or self.locks
        if red or any(one.level == "contradiction" for one in self.findings):
            return "contradicted"
        return "marked" if self.findings or any(one.state == "unsupported" for one in self.claims) else "held"

    @property
    def problems(self) -> list[str]:
        """Return what contradicts the answer, one line each."""
        lines = [f"{one.text!r}: {one.evidence}" for one in self.claims if one.state == "contradicted"]
        return [*self.locks, *lines, *(one.text for one in self.findings if one.level == "contradiction")]

    @property
    def notes(self) -> list[str]:
        """Return what is not supported or may weaken the answer, one line each."""
        lines = [f"{one.text!r}: {one.evidence}" for one in self.claims if one.state == "unsupported"]
        return [*lines, *(one.text for one in self.findings if one.level == "warning")]

    def as_data(self) -> dict[str, Any]:
        """Return the verdict as the data of the event `evidence`."""
        return {
            "status": self.status,
            "level": self.level,
            "claims": [asdict(one) for one in self.claims],
            "findings": [asdict(one) for one in self.findings],
            "locks": list(self.locks),
            "incomplete": list(self.incomplete),
            "statements": list(self.statements),
            "goal": self.goal,
            "holdout": self.holdout,
            "evaluation": self.evaluation,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "AnswerVerdict":
        """Restore a verdict from `as_data`."""
        return cls(
            data["level"],
            tuple(Claim(**one) for one in data["claims"]),
            tuple(Finding(**one) for one in data["findings"]),
            tuple(data["locks"]),
            tuple(data["incomplete"]),
            tuple(data.get("statements", ())),
            data.get("goal"),
            data.get("holdout"),
            data.get("evaluation"),
        )
