"""The question about pending calls: a list of calls, each with its own answer, and the choices for the current one."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ml_intern.terminal.blocks.diff import DiffLine, diff_rows
from ml_intern.terminal.blocks.note import note_rows
from ml_intern.terminal.blocks.sentence import QUESTION, covered, what_happens, what_it_costs, why_asked
from ml_intern.terminal.blocks.spans import Span, paint
from ml_intern.terminal.blocks.width import clean, cut, tail
from ml_intern.terminal.render.preview import preview_text
from ml_intern.terminal.render.summary import call_summary
from ml_intern.terminal.theme import Theme
from ml_intern.terminal.views.choice import WORDS, ChoiceView, ListChoice
from ml_intern.terminal.views.outcome import CANCELLED, Cancelled, Chosen
from ml_intern.text.formatting import capped, plural

if TYPE_CHECKING:
    from ml_intern.graph.operations import Decision

Answer = Literal["yes", "thread", "folder", "everywhere", "no", "reason", "edit", "view", "all"]
MAX_LISTED = 6
JOINED_S = 1.0
"""Seconds in which text after a letter continues it: later, the letter was an answer of its own."""
MIN_PREVIEW = 3
"""Rows of the preview that are shown on any screen, before further choices."""
MIN_ANSWERS = 4
PLAIN_WIDTH, PLAIN_PREVIEW = 100_000, 40


@dataclass(frozen=True)
class Decided:
    """Every request is answered; the decisions by request id."""

    decisions: "Mapping[str, Decision]"


@dataclass(frozen=True)
class EditCall:
    """The user wants to edit the arguments of a request; `edited` takes the result."""

    id: str


@dataclass(frozen=True)
class ViewCall:
    """The user wants to see a request whole."""

    id: str


@dataclass(frozen=True)
class ReadOutputs:
    """The user wants to read the outputs of the thread before the answer."""


@dataclass(frozen=True)
class NewMessage:
    """The user answered a question about the turn with a message, which the model reads instead."""

    text: str


@dataclass(frozen=True)
class Deferred:
    """The user left without an answer: the requests stay pending."""


ApprovalOutcome = Decided | EditCall | ViewCall | ReadOutputs | NewMessage | Deferred | Cancelled


class ApprovalView:
    """Asks about one batch of requests. `previews` shows what each one would do, by request id."""

    def __init__(
        self,
        requests: Sequence[Mapping[str, Any]],
        previews: Mapping[str, Sequence[DiffLine]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requests = tuple(requests)
        self._previews = {id: tuple(lines) for id, lines in previews.items()}
        self._decisions: dict[str, Decision] = {}
        self._edited: dict[str, Mapping[str, Any]] = {}
        """The edited arguments by request id."""
        self._place = 0
        self._typed = ""
        """The letter or digit that selected a choice. Text right after it makes both the beginning of a reason."""
        self._typed_at = 0.0
        self._now_s = clock
        self._reason: str | None = None
        """The reason while it is typed."""
        self._choices = self._choice_view()

    @property
    def current(self) -> Mapping[str, Any]:
        """Return the request that the choices are about."""
        return self.requests[self._place]

    def args(self, id: str) -> Mapping[str, Any]:
        """Return the arguments of a request, as edited so far."""
        args: Mapping[str, Any] = next(one for one in self.requests if one["id"] == id)["args"]
        return self._edited.get(id, args)

    def edited(self, id: str, args: Mapping[str, Any], preview: Sequence[DiffLine]) -> None:
        """Ask about a request with edited arguments."""
        self._previews[id] = tuple(preview)
        self._edited[id] = dict(args)
        self._move(next(place for place, one in enumerate(self.requests) if one["id"] == id))

    def handle(self, key: str) -> ApprovalOutcome | None:
        """Take a key. Left and right move between the calls; a sentence is the reason of a rejection."""
        typed = self._typed if self._now_s() - self._typed_at < JOINED_S else ""
        self._typed = ""
        if key == "c-d":
            return Deferred()
        if key == "c-o":
            return ReadOutputs()
        if self._reason is not None:
            return self._type_reason(key)
        if is_text(key) and (typed or self._choices.place_of(key) is None):
            self._add(typed, key)
            return None
        if key in ("left", "right"):
            self._move((self._place + (1 if key == "right" else -1)) % len(self.requests))
            return None
        outcome = self._choices.handle(key)
        if isinstance(outcome, Chosen):
            return self._take(outcome.value)
        self._typed, self._typed_at = key if is_text(key) else "", self._now_s()
        return outcome

    def _add(self, typed: str, key: str) -> None:
        """Begin a reason with the letters so far, unless they begin the word for the answer that is selected."""
        if typed and any(word.startswith(f"{typed}{key}".lower()) for word in WORDS):
            self._typed, self._typed_at = typed + key, self._now_s()
        else:
            self._reason = typed + key

    def _take(self, answer: Answer) -> ApprovalOutcome | None:
        match answer:
            case "yes":
                return self._answer(self._approval(self.current["id"]))
            case "thread" | "folder" | "everywhere":
                return self._answer({"type": "approve", "always": answer})
            case "no":
                return self._answer({"type": "reject"})
            case "reason":
                self._reason = ""
                return None
            case "all":
                return self._approve_rest()
            case "edit":
                return EditCall(self.current["id"])
            case "view":
                return ViewCall(self.current["id"])

    def _approval(self, id: str) -> "Decision":
        return {"type": "edit", "args": dict(self._edited[id])} if id in self._edited else {"type": "approve"}

    def _answer(self, decision: "Decision") -> ApprovalOutcome | None:
        """Save the decision and go to the next request without one."""
        self._decisions[self.current["id"]] = decision
        places = [*range(self._place + 1, len(self.requests)), *range(self._place)]
        for place in places:
            if self.requests[place]["id"] not in self._decisions:
                self._move(place)
                return None
        return Decided({**self._decisions})

    def _approve_rest(self) -> Decided:
        rest = [one["id"] for one in self.requests if one["id"] not in self._decisions]
        return Decided({**self._decisions, **{id: self._approval(id) for id in rest}})

    def _type_reason(self, key: str) -> ApprovalOutcome | None:
        reason = self._reason or ""
        if key == "esc":
            self._reason = None
        elif key == "c-c":
            return CANCELLED
        elif key == "enter":
            self._reason = None
            return self._rejected(reason.strip())
        elif key == "backspace":
            self._reason = reason[:-1]
        elif is_text(key):
            self._reason = reason + key
        return None

    def _rejected(self, reason: str) -> ApprovalOutcome | None:
        if reason and self.current["name"] == QUESTION:
            return NewMessage(reason)
        return self._answer({"type": "reject", "message": reason} if reason else {"type": "reject"})

    def paste(self, text: str) -> None:
        """Add pasted text to the reason."""
        if self._reason is not None:
            self._reason += " ".join(text.split())

    def as_lines(self) -> list[str]:
        """Return the question for plain mode: what the current call would do, and the numbered choices."""
        if self._reason is not None:
            return ["Why not? The model gets the next line as the reason."]
        preview = preview_text(self._previews.get(self.current["id"], ())).split("\n")
        return [
            *([f"Call {self._place + 1} of {len(self.requests)}."] if len(self.requests) > 1 else []),
            *self._sentence_rows(PLAIN_WIDTH, Theme("none")),
            *(f"  {line}" for line in capped(preview, PLAIN_PREVIEW, "line")),
            *self._choices.as_lines(),
            "Type a number or a letter, or a sentence that rejects the call with that reason.",
        ]

    def answer(self, line: str) -> ApprovalOutcome | None:
        """Take a line of plain mode: a number, a letter, or the reason of a rejection."""
        text = line.strip()
        if self._reason is not None:
            self._reason = None
            return self._rejected(text)
        place = self._choices.place_of_line(text)
        if place is not None:
            return self._take(self._choices.choices[place].value)
        return self._rejected(text) if len(text) > 1 and not text.isdecimal() else None

    def _move(self, place: int) -> None:
        self._place, self._reason = place, None
        self._choices = self._choice_view()

    def _choice_view(self) -> ChoiceView[Answer]:
        waiting = sum(one["id"] not in self._decisions for one in self.requests)
        return ChoiceView(_choices(self.current, waiting, edited=self.current["id"] in self._edited))

    def rows(self, width: int, height: int, theme: Theme) -> list[str]:
        """Return the rows: the calls, the sentence about the current one, its preview, the choices."""
        listed, sentence = self._list_rows(width, theme), self._sentence_rows(width, theme)
        preview = self._preview_rows(width, height, theme)
        shown = min(len(preview), MIN_PREVIEW)
        sentence = sentence[: max(height - len(listed) - shown - MIN_ANSWERS, 1)]
        listed = listed[: max(height - len(sentence) - shown - MIN_ANSWERS, 0)]
        head = [*listed, *sentence]
        answers = self._answer_rows(width, max(height - len(head) - shown, MIN_ANSWERS), theme)
        room = height - len(head) - len(answers)
        return [*head, *self._preview_rows(width, room, theme), *answers][:height]

    def _list_rows(self, width: int, theme: Theme) -> list[str]:
        if len(self.requests) < 2:
            return []
        first = min(max(self._place - MAX_LISTED // 2, 0), max(len(self.requests) - MAX_LISTED, 0))
        shown = range(first, min(first + MAX_LISTED, len(self.requests)))
        title = f"{plural(len(self.requests), 'call')} wait for you (left and right move between them)"
        return [theme.paint("bold", cut(title, width)), *(self._listed(place, width, theme) for place in shown)]

    def _listed(self, place: int, width: int, theme: Theme) -> str:
        request, chosen = self.requests[place], place == self._place
        words = self._answered(request["id"])
        mark = f"{theme.glyph('pointer') if chosen else ' '} {place + 1} "
        text = cut(call_summary(request["name"], self.args(request["id"])), max(width - len(mark) - len(words) - 2, 1))
        spans = [Span(mark, "accent"), Span(text, "selected" if chosen else "plain"), Span(f"  {words}", "dim")]
        return paint(spans, theme)

    def _answered(self, id: str) -> str:
        decision = self._decisions.get(id)
        if decision is None:
            return "not answered"
        return {"approve": "yes", "reject": "no", "edit": "edited", "respond": "no"}[decision["type"]]

    def _sentence_rows(self, width: int, theme: Theme) -> list[str]:
        lines = self._previews.get(self.current["id"], ())
        sentence = " ".join(filter(None, [what_happens(self.current, lines), what_it_costs(self.current)]))
        rows = note_rows(sentence, "warning", width, theme)
        return rows + (note_rows(why, "dim", width, theme) if (why := why_asked(self.current)) else [])

    def _preview_rows(self, width: int, room: int, theme: Theme) -> list[str]:
        """Return as much of the preview as fits, with the number of lines that do not."""
        lines = self._previews.get(self.current["id"], ())
        rows = [f"  {row}" for row in diff_rows(lines[: max(room, 0) + 1], width - 2, theme)]
        if len(rows) <= room:
            return rows
        if room < 1:
            return []
        return [*rows[: room - 1], theme.paint("hint", cut(f"  {theme.glyph('more')} more: v shows all", width))]

    def _answer_rows(self, width: int, height: int, theme: Theme) -> list[str]:
        if self._reason is None:
            return self._choices.rows(width, height, theme)
        typed = tail(clean(self._reason), max(width - 12, 1))
        is_question = self.current["name"] == QUESTION
        hint = cut("Enter sends it, Esc goes back" if is_question else "Enter rejects the call, Esc goes back", width)
        asked = "message: " if is_question else "why not? "
        return [paint([Span(asked, "bold"), Span(typed), Span("_", "accent")], theme), theme.paint("hint", hint)]


def is_text(key: str) -> bool:
    """Return whether a key is text and not the name of a key."""
    return key.isprintable() and (len(key) == 1 or not key.isascii() or " " in key)


def _choices(request: Mapping[str, Any], waiting: int, *, edited: bool) -> list[ListChoice[Answer]]:
    everything = [_needs_enter("all", f"Yes to all {waiting} pending calls", "a")] if waiting > 1 else []
    if request["name"] == QUESTION:
        message = _needs_enter("reason", "No, and send a message", "r")
        return [_needs_enter("yes", "Yes", "y"), _needs_enter("no", "No", "n"), message, *everything]
    return [
        _needs_enter("yes", "Yes, as edited" if edited else "Yes", "y"),
        *([] if edited else _always(request.get("always") or ())),
        _needs_enter("no", "No", "n"),
        _needs_enter("reason", "No, and say why", "r"),
        _needs_enter("edit", "Edit it again" if edited else "Edit it first", "e"),
        _needs_enter("view", "View all of it", "v"),
        *everything,
    ]


def _needs_enter(answer: Answer, text: str, letter: str) -> ListChoice[Answer]:
    """Return a choice that its letter only selects: the letter may be the first one of a sentence."""
    return ListChoice(answer, text, letter, confirmed=True)


def _always(offers: Sequence[Mapping[str, Any]]) -> list[ListChoice[Answer]]:
    if not offers:
        return []
    words = covered(offers)
    return [
        _needs_enter("thread", f"Yes, and do not ask again in this thread for {words}", "t"),
        _needs_enter("folder", "The same for this folder", "g"),
        _needs_enter("everywhere", "The same for every folder", "w"),
    ]
