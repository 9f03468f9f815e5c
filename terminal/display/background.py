"""Asks the terminal for the colour of its background and for kitty's protocols when the session starts.

Nothing waits for the answers.
"""

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_intern.terminal.display.images import ASK_GRAPHICS, HAS_GRAPHICS, Images
from ml_intern.terminal.input import kitty
from ml_intern.terminal.input.answers import ASK_ATTRIBUTES, ASK_BACKGROUND, OSC, answers_queries, background_matters

if TYPE_CHECKING:
    from ml_intern.terminal.input.answers import AnswerFilter

LIMIT_S = 2.0
"""Seconds after a question or an answer after which no other is expected. One that comes later is still used."""
LEAVING_S = 0.5
"""Seconds that leaving waits for an answer, which would reach the shell otherwise."""


class Background:
    """The answers of the terminal. `changed` is called when the colour is known, `has_kitty` if it has the keys."""

    def __init__(
        self, send: Callable[[str], object], changed: Callable[[], None], has_kitty: Callable[[], None], images: Images
    ) -> None:
        self._send = send
        self.changed = changed
        self._has_kitty = has_kitty
        self._images = images
        self._awaited = 0
        self._filter: AnswerFilter | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._ended.set()
        self.colour = ""
        """The answer to OSC 11, or "" while it is unknown."""

    def ask(self, answers: "AnswerFilter | None") -> None:
        """Ask, if the answers would be taken out of the keys. The colour is asked for if the theme can depend on it."""
        if answers is not None and answers_queries(os.environ):
            self._filter = answers
            self._ended.clear()
            self._awaited = 1
            answers.expect(expecting=True)
            self._wait()
            colour = ASK_BACKGROUND if background_matters(os.environ) else ""
            self._send(f"{colour}{kitty.ASK}{ASK_ATTRIBUTES}")

    def take(self, answer: str) -> None:
        """Take an answer of the terminal. On a slow connection, the next one may be long in coming."""
        if self._limit is not None:
            self._wait()
        if answer.startswith(f"{OSC}11;"):
            self.colour = answer
            self.changed()
        elif answer.startswith(HAS_GRAPHICS):
            self._images.has_kitty()
        elif answer.endswith("u"):
            self._has_kitty()
            self._ask_for_images()
        elif answer.endswith("c"):
            self._awaited -= 1
            if self._awaited < 1:
                self._end()

    def _ask_for_images(self) -> None:
        """Ask a terminal that has kitty's keys for its graphics too: others may print the question."""
        if self._images.possible:
            self._awaited += 1
            self._send(f"{ASK_GRAPHICS}{ASK_ATTRIBUTES}")

    async def answered(self) -> None:
        """Wait until no answer is to come, but not long."""
        try:
            async with asyncio.timeout(LEAVING_S):
                await self._ended.wait()
        except TimeoutError:
            return

    def _wait(self) -> None:
        """Expect an answer for the time of the limit, from now on."""
        if self._limit is not None:
            self._limit.cancel()
        self._limit = asyncio.get_running_loop().call_later(LIMIT_S, self._end)

    def _end(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = None
        self._ended.set()
        if self._filter is not None:
            self._filter.expect(expecting=False)
