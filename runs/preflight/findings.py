"""What the checks before a run found: each finding with its remedy, and the rules that were overridden."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A fault that a rule saw. One that does not refuse is told and stops nothing."""

    rule: str
    what: str
    remedy: str
    refuses: bool = True

    @property
    def line(self) -> str:
        """The finding in one line."""
        return f"[{self.rule}] {self.what}; {self.remedy}"


@dataclass(frozen=True)
class PreflightReport:
    """All that was found, and which rules the caller overrides."""

    found: tuple[Finding, ...] = ()
    overrides: frozenset[str] = frozenset()

    def overridden(self, names: Collection[str]) -> "PreflightReport":
        """The same findings with other overrides."""
        return PreflightReport(self.found, frozenset(names))

    @property
    def refused(self) -> tuple[Finding, ...]:
        """What keeps the run from starting."""
        return tuple(one for one in self.found if one.refuses and one.rule not in self.overrides)

    @property
    def refusal(self) -> str:
        """Why the run may not start, with the remedies; "" when it may."""
        if not self.refused:
            return ""
        names = ", ".join(dict.fromkeys(one.rule for one in self.refused))
        return "\n".join(
            [
                "the checks before the start refuse this run; nothing was started and nothing was paid:",
                *(f"- {one.line}" for one in self.refused),
                f"Mend it. Where you know better, repeat the call with override=[{names}] and say why.",
            ]
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known although the run may start: overridden findings, then those that refuse nothing."""
        over = [f"overridden: {one.line}" for one in self.found if one.refuses and one.rule in self.overrides]
        return (*over, *(one.line for one in self.found if not one.refuses))
