"""A list with a filter and a preview: type to filter, arrows to move, Enter to choose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ml_intern.terminal.blocks.spans import Span, paint
from ml_intern.terminal.blocks.width import cells, clean, cut, one_row, tail
from ml_intern.terminal.theme import Theme
from ml_intern.terminal.views.choice import STEPS
from ml_intern.terminal.views.outcome import CANCELLED, Cancelled, Chosen

T = TypeVar("T")
MIN_PREVIEW = 3
PAGE = 10
FILTER, KEYS = "type to filter", ", Enter chooses, Esc closes"
PARTS = "  "
"""Between the parts of the details of an item."""
LISTED = 30
"""Items that plain mode lists."""
MIN_FUZZY = 4
MIN_SIMILARITY = 80.0
_MOVES = {**STEPS, "pageup": -PAGE, "pagedown": PAGE}


@dataclass(frozen=True)
class Item(Generic[T]):
    """One item: its text, and details that are shown dimmed after it, in parts."""

    value: T
    text: str
    about: str = ""


class PickerView(Generic[T]):
    """The list. The caller may add the preview of an item when it becomes known."""

    def __init__(self, title: str, items: Sequence[Item[T]], selected: int = 0) -> None:
        self.title = title
        self.items = tuple(items)
        self.query = ""
        self._found = list(range(len(self.items)))
        self._place = selected
        self._previews: dict[int, tuple[str, ...]] = {}

    @property
    def selected(self) -> Item[T] | None:
        """Return the selected item; None when the filter matches nothing."""
        return self.items[self._found[self._place]] if self._found else None

    def show(self, item: Item[T], lines: Sequence[str]) -> None:
        """Set the preview of an item."""
        self._previews[self.items.index(item)] = tuple(lines)

    def needs_preview(self) -> Item[T] | None:
        """Return the selected item if it has no preview yet."""
        return self.selected if self._found and self._found[self._place] not in self._previews else None

    def handle(self, key: str) -> Chosen[T] | Cancelled | None:
        """Take a key. Text filters; Ctrl-U clears the filter, Esc leaves."""
        if key in _MOVES:
            self._move(_MOVES[key])
        elif key == "enter":
            return Chosen(self.selected.value) if self.selected else None
        elif key in ("esc", "c-c", "c-d"):
            return CANCELLED
        elif key == "c-u":
            self._filter("")
        elif key == "backspace":
            self._filter(self.query[:-1])
        elif len(key) == 1 and key.isprintable():
            self._filter(self.query + key)
        return None

    def as_lines(self) -> list[str]:
        """Return the question for plain mode: the title and the numbered items that the filter leaves."""
        items = [self.items[place] for place in self._found[:LISTED]]
        rows = [
            f"{number}. {one_row(f'{one.text}  {one.about}'.rstrip())}" for number, one in enumerate(items, start=1)
        ]
        more = [f"and {len(self._found) - LISTED} more"] * (len(self._found) > LISTED)
        return [self.title, *(rows or ["no match"]), *more, "Type a number, or text to filter. An empty line cancels."]

    def answer(self, line: str) -> Chosen[T] | Cancelled | None:
        """Take a line of plain mode: the number of an item, or a filter."""
        word = line.strip()
        if word.isdecimal() and 0 < int(word) <= min(len(self._found), LISTED):
            self._place = int(word) - 1
            return Chosen(self.items[self._found[self._place]].value)
        if not word and not self.query:
            return CANCELLED
        self._filter(word)
        return None

    def paste(self, text: str) -> None:
        """Add pasted text to the filter."""
        self._filter(self.query + " ".join(text.split()))

    def _move(self, step: int) -> None:
        if self._found:
            last = len(self._found) - 1
            wraps = abs(step) == 1
            self._place = (self._place + step) % (last + 1) if wraps else min(max(self._place + step, 0), last)

    def _filter(self, query: str) -> None:
        self.query, self._place = query, 0
        self._found = rank(query, [f"{item.text} {item.about}" for item in self.items])

    def rows(self, width: int, height: int, theme: Theme) -> list[str]:
        """Return the rows: title and filter, the items around the selected one, its preview."""
        title = [theme.paint("bold", cut(one_row(self.title), width)), self._filter_row(width, theme)]
        preview = self._preview_rows(width, max((height - len(title)) // 2, 0), theme)
        listed = self._item_rows(width, max(height - len(title) - len(preview), 1), theme)
        return [*title, *listed, *preview][:height]

    def _filter_row(self, width: int, theme: Theme) -> str:
        count = f" {len(self._found)}/{len(self.items)}"
        if not self.query:
            keys = KEYS if cells(f"{FILTER}{KEYS}{count}") <= width else ""
            return theme.paint("hint", cut(f"{FILTER}{keys}{count}", width))
        shown = tail(clean(self.query), max(width - cells(count) - 2, 1))
        return paint([Span("/ ", "accent"), Span(shown), Span(count, "hint")], theme)

    def _item_rows(self, width: int, height: int, theme: Theme) -> list[str]:
        if not self._found:
            return [theme.paint("dim", cut("no match", width))]
        first = min(max(self._place - height // 2, 0), max(len(self._found) - height, 0))
        shown = range(first, min(first + height, len(self._found)))
        return [self._item(place, width, theme) for place in shown]

    def _item(self, place: int, width: int, theme: Theme) -> str:
        item, chosen = self.items[self._found[place]], place == self._place
        pointer = f"{theme.glyph('pointer') if chosen else ' '} "
        text = cut(one_row(item.text), width - 2)
        about = _fitting(item.about, width - 4 - cells(text))
        spans = [Span(pointer, "accent"), Span(text, "selected" if chosen else "plain")]
        return paint([*spans, *([Span(f"  {about}", "dim")] if about else [])], theme)

    def _preview_rows(self, width: int, height: int, theme: Theme) -> list[str]:
        lines = self._previews.get(self._found[self._place], ()) if self._found else ()
        if not lines or height < MIN_PREVIEW:
            return []
        shown = [f"{theme.glyph('bar')} {cut(clean(line), width - 2)}" for line in lines[: height - 1]]
        return ["", *(theme.paint("dim", line) for line in shown)]


def _fitting(about: str, room: int) -> str:
    """Return the first parts, which two spaces separate, that fit as a whole."""
    parts = [one_row(part) for part in about.split(PARTS)]
    while parts and cells(PARTS.join(parts)) > room:
        parts.pop()
    return PARTS.join(parts)


def rank(query: str, texts: Sequence[str]) -> list[int]:
    """Return the places of the texts that match, best first: the words themselves, their letters in order, similar."""
    wanted = query.casefold().split()
    if not wanted:
        return list(range(len(texts)))
    scores: Mapping[int, float] = {
        place: score for place, text in enumerate(texts) if (score := _score(wanted, text.casefold())) > 0
    }
    return sorted(scores, key=lambda place: (-scores[place], place))


def _score(words: Sequence[str], text: str) -> float:
    """Return how well all words match: 0 if one does not."""
    scores = [_word_score(word, text) for word in words]
    return min(scores) and sum(scores)


def _word_score(word: str, text: str) -> float:
    if (at := text.find(word)) >= 0:
        begins = at == 0 or not text[at - 1].isalnum()
        return 300.0 + 50.0 * begins - min(at, 49)
    if _in_order(word, text):
        return 100.0
    if len(word) < MIN_FUZZY:
        return 0.0
    from rapidfuzz import fuzz

    similarity = fuzz.partial_ratio(word, text)
    return similarity - MIN_SIMILARITY if similarity > MIN_SIMILARITY else 0.0


def _in_order(word: str, text: str) -> bool:
    letters = iter(text)
    return all(letter in letters for letter in word)
