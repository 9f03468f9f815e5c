"""A list of choices: arrows and Enter, digits, or letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ml_intern.terminal.blocks.spans import Line, Span, paint, span, wrap
from ml_intern.terminal.blocks.width import cells
from ml_intern.terminal.theme import Style, Theme
from ml_intern.terminal.views.outcome import CANCELLED, Cancelled, Chosen

T = TypeVar("T")
MAX_DIGITS = 9
STEPS = {"up": -1, "down": 1, "s-tab": -1, "tab": 1}
CONFIRM = "(Enter confirms)"
ENDS = {"home": 0, "end": -1}
WORDS = {"yes": "y", "no": "n"}


@dataclass(frozen=True)
class ListChoice(Generic[T]):
    """One choice. `letter` chooses it at once, as its digit does; if `confirmed`, both only select it for Enter."""

    value: T
    text: str
    letter: str = ""
    confirmed: bool = False


class ChoiceView(Generic[T]):
    """The list. Keys have names: up, down, home, end, enter, esc, a digit or a letter. `title` stands above it."""

    def __init__(self, choices: Sequence[ListChoice[T]], selected: int = 0, title: Sequence[str] = ()) -> None:
        self.choices = tuple(choices)
        self.selected = selected
        self.title = tuple(title)

    def handle(self, key: str) -> Chosen[T] | Cancelled | None:
        """Take a key. Return the decision, or None when there is none yet."""
        if key in STEPS:
            self.selected = (self.selected + STEPS[key]) % len(self.choices)
        elif key in ENDS:
            self.selected = ENDS[key] % len(self.choices)
        elif key in ("esc", "c-c", "c-d"):
            return CANCELLED
        elif key == "enter":
            return Chosen(self.choices[self.selected].value)
        return self._by_name(key)

    def _by_name(self, key: str) -> Chosen[T] | None:
        """Choose by digit or letter, or select what needs Enter."""
        if (place := self.place_of(key)) is None:
            return None
        self.selected = place
        return None if self.choices[place].confirmed else Chosen(self.choices[place].value)

    def place_of(self, key: str) -> int | None:
        """Return the place of the choice with this digit or letter."""
        for number, choice in enumerate(self.choices, start=1):
            if (key == str(number) and number <= MAX_DIGITS) or (choice.letter and key.lower() == choice.letter):
                return number - 1
        return None

    def as_lines(self) -> list[str]:
        """Return the question for plain mode: the title and the numbered choices."""
        return [*self.title, *(numbered(number, one) for number, one in enumerate(self.choices, start=1))]

    def answer(self, line: str) -> Chosen[T] | None:
        """Take a line of plain mode: a number, a letter, or yes and no. Return None for any other."""
        place = self.place_of_line(line)
        return None if place is None else Chosen(self.choices[place].value)

    def place_of_line(self, line: str) -> int | None:
        """Return the place of the choice that a line names."""
        word = line.strip().lower()
        if word.isdecimal():
            return int(word) - 1 if 0 < int(word) <= len(self.choices) else None
        return self.place_of(WORDS.get(word, word)) if word else None

    def paste(self, _: str) -> None:
        """Ignore pasted text: it is not an answer."""

    def rows(self, width: int, height: int, theme: Theme) -> list[str]:
        """Return the rows. Where they do not fit into `height`, those around the selected one."""
        blocks = [self._choice(number, width, theme) for number in range(len(self.choices))]
        rows = fitted(blocks, self.selected, height)
        title = [paint(row, theme) for line in self.title for row in wrap((span(line),), width)]
        return [*title[: max(height - len(rows), 0)], *rows]

    def _choice(self, place: int, width: int, theme: Theme) -> list[str]:
        choice, chosen = self.choices[place], place == self.selected
        pointer = theme.glyph("pointer") if chosen else " "
        name = choice.letter or (str(place + 1) if place < MAX_DIGITS else " ")
        first: Line = (Span(f"{pointer} ", "accent"), Span(f"{name} ", "hint"))
        rest: Line = (Span(" " * sum(cells(one.text) for one in first)),)
        style: Style = "selected" if chosen else "plain"
        text = (span(choice.text, style), *((Span(f"  {CONFIRM}", "hint"),) if chosen and choice.confirmed else ()))
        return [paint(row, theme) for row in wrap(text, width, first, rest)]


def numbered(number: int, choice: ListChoice[Any]) -> str:
    """Return a choice as a line with its number and its letter."""
    return f"{number}. {choice.text}" + (f" ({choice.letter})" if choice.letter else "")


def fitted(blocks: Sequence[Sequence[str]], selected: int, height: int) -> list[str]:
    """Return the rows of as many blocks as fit into `height`, the selected one among them."""
    first = last = selected
    used = len(blocks[selected]) if blocks else 0
    while True:
        if last + 1 < len(blocks) and used + len(blocks[last + 1]) <= height:
            last += 1
            used += len(blocks[last])
        elif first > 0 and used + len(blocks[first - 1]) <= height:
            first -= 1
            used += len(blocks[first])
        else:
            return [row for block in blocks[first : last + 1] for row in block][:height]
