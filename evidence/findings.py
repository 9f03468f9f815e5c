"""One fact about a result, as the checks of code, data and runs report it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """A fact in one line, with the rule that found it. It states what is there and does not judge who wrote it."""

    rule: str
    message: str
    path: str = ""
    line: int = 0
    """The line of the fact in `path`; 0 if it has none."""
    level: Literal["warning", "contradiction"] = "warning"
    """`contradiction` if the fact alone makes the reported result false."""

    @property
    def text(self) -> str:
        """The finding in one line, with its place."""
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message} [{self.rule}]" if place else f"{self.message} [{self.rule}]"
