"""The result of the preflight checks: findings with their remedies, and the overridden rules."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class PreflightFinding:
    """A problem found by a rule. With `refuses` False it is a warning and does not block the run."""

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
    """All findings, and the rules the caller overrides."""

    found: tuple[PreflightFinding, ...] = ()
    overrides: frozenset[str] = frozenset()

    def overridden(self, names: Collection[str]) -> "PreflightReport":
        """Return the same findings with other overrides."""
        return PreflightReport(self.found, frozenset(names))

    @property
    def refused(self) -> tuple[PreflightFinding, ...]:
        """The findings that block the run."""
        return tuple(one for one in self.found if one.refuses and one.rule not in self.overrides)

    @property
    def refusal(self) -> str:
        """Why the run is refused, with the remedies; "" when it may start."""
        if not self.refused:
            return ""
        names = ", ".join(dict.fromkeys(one.rule for one in self.refused))
        return "\n".join(
            [
                "preflight checks refused this run; nothing was started or charged:",
                *(f"- {one.line}" for one in self.refused),
                f"Fix the problems. If a check is wrong, repeat the call with override=[{names}] and explain why.",
            ]
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """The findings that do not block the run: overridden ones first, then warnings."""
        over = [f"overridden: {one.line}" for one in self.found if one.refuses and one.rule in self.overrides]
        return (*over, *(one.line for one in self.found if not one.refuses))
