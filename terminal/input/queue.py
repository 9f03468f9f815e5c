"""Lines that the user entered and that wait for the running turn to end."""

from dataclasses import dataclass, field
from itertools import count

_NUMBERS = count(1)


@dataclass(frozen=True)
class Waiting:
    """One line that waits."""

    text: str
    number: int = field(default_factory=lambda: next(_NUMBERS))


class WaitingLines:
    """The lines that wait, first come first served. While `paused`, nothing is taken until the user enters a line."""

    def __init__(self) -> None:
        self.paused = False
        self._lines: list[Waiting] = []

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def lines(self) -> tuple[Waiting, ...]:
        """Return the lines that wait, the next one first."""
        return tuple(self._lines)

    def add(self, text: str) -> None:
        """Add a line, and resume after a pause."""
        self._lines.append(Waiting(text))
        self.paused = False

    def first(self, text: str) -> None:
        """Add a line before all others, and resume after a pause."""
        self._lines.insert(0, Waiting(text))
        self.paused = False

    def take(self) -> str | None:
        """Return the next line; None while there is none or they are paused."""
        return self._lines.pop(0).text if self._lines and not self.paused else None

    def take_back(self) -> str | None:
        """Return the last line to the user, for editing; None if none waits."""
        return self._lines.pop().text if self._lines else None

    def pause(self) -> None:
        """Keep the lines until the user enters another one."""
        self.paused = bool(self._lines)
