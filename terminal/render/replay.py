"""The end of a resumed conversation: its last messages with the calls between them, as a session shows them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_intern.terminal.blocks.call import SILENT, CallBlock, finished
from ml_intern.terminal.blocks.reply import reply_rows
from ml_intern.terminal.display.rows import wrap
from ml_intern.text.formatting import and_more, plural
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from ml_intern.outbound.conversation import Message
    from ml_intern.terminal.display.images import Images
    from ml_intern.terminal.theme import Theme

SCREENS = 2
_ADDED = re.compile(r'\n\n<(?:file|folder) path="')
"""The files that mentions add to a message begin so."""
MAX_USER_LINES = 8
MAX_SAID_LINES = 30
MAX_SAID_CHARACTERS = 4_000
"""The characters of a line of a message that are shown."""
LAST_SAID_LINES = 2
"""The lines at the end of a message that are shown of a long one too."""
NOT_RUN = "Not run"
"""The beginning of the text of a call that was rejected."""
Arguments = Mapping[str, Mapping[str, Any]]
"""The arguments of calls by id."""
Shown = Callable[[int], list[str]]
"""Return the rows of a message at a width."""


@dataclass(frozen=True)
class ReplayPlace:
    """Where a conversation is shown: outputs that are cut name the key that shows all if it has `keys`."""

    theme: "Theme"
    keys: bool = True
    images: "Images | None" = None
    """Shows images, where the place can."""
    folder: str = ""
    """The beginning of paths in the working folder."""


def replay(messages: "Sequence[Message]", width: int, height: int, place: ReplayPlace) -> tuple[str, list[Shown]]:
    """Return the last messages that fill some screens, and a line about those before them, "" if there are none."""
    chosen, rows = list[Shown](), 0
    parts = _parts(messages, place)
    for part in reversed(parts):
        if rows >= SCREENS * height:
            break
        chosen.append(part)
        rows += len(part(width))
    left_out = len(parts) - len(chosen)
    about = f"{plural(left_out, 'part')} of the conversation before this not shown; /export writes all of it"
    return about if left_out else "", chosen[::-1]


def said_rows(text: str, width: int, theme: "Theme", limit: int = MAX_SAID_LINES) -> list[str]:
    """Return the rows of a message of the user, at most `limit` lines of it: its beginning and its end."""
    lines = [_shortened(line) for line in visible(text.strip()).split("\n")]
    marked = [theme.paint("user", f"{'  ' if number else '> '}{line}") for number, line in enumerate(lines)]
    if len(lines) > limit:
        more = theme("dim", f"  {and_more(len(lines), limit, 'line')}")
        marked = [*marked[: limit - LAST_SAID_LINES], more, *marked[-LAST_SAID_LINES:]]
    return ["", *(row for line in marked for row in wrap(line, width))]


def _shortened(line: str) -> str:
    surplus = len(line) - MAX_SAID_CHARACTERS
    return f"{line[:MAX_SAID_CHARACTERS]}… ({surplus:,} more characters)" if surplus > 0 else line


def without_files(text: str) -> str:
    """Return a message of the user without the files and folders that its mentions added."""
    return _ADDED.split(text, maxsplit=1)[0]


def _parts(messages: "Sequence[Message]", place: ReplayPlace) -> list[Shown]:
    """Return what is shown of each message. An empty row is between two replies."""
    known = {call.id: call.args for message in messages for call in message.calls}
    parts, before = list[Shown](), ""
    for message in messages:
        if (part := _part(message, known, place)) is not None:
            parts.append(_after_gap(part) if before == message.role == "assistant" else part)
            before = message.role
    return parts


def _after_gap(part: Shown) -> Shown:
    return lambda width: ["", *part(width)]


def _part(message: "Message", known: Arguments, place: ReplayPlace) -> Shown | None:
    if message.role == "user" and message.text.strip():
        return partial(_user_rows, message, place)
    if message.role == "assistant" and message.text.strip():
        return lambda width: reply_rows(message.text, width, place.theme)
    if message.role == "tool" and message.name not in SILENT:
        names = tuple(path.removeprefix(place.folder) for path in message.images_written)
        return partial(_call_rows, message, replace(_call(message, known), keys=place.keys, images=names), place)
    return None


def _user_rows(message: "Message", place: ReplayPlace, width: int) -> list[str]:
    rows = said_rows(without_files(message.text), width, place.theme, MAX_USER_LINES)
    return rows + [row for url in message.images if place.images for row in place.images.of_url(url, width)]


def _call_rows(message: "Message", block: CallBlock, place: ReplayPlace, width: int) -> list[str]:
    rows = block.rows(width, place.theme)
    return rows + [row for path in message.images_written if place.images for row in place.images.of_file(path, width)]


def _call(message: "Message", known: Arguments) -> CallBlock:
    status = "rejected" if message.text.startswith(NOT_RUN) else "failed"
    data = {"status": status, "ok": message.ok, "text": message.text, "seconds": message.seconds}
    return finished(message.name, known.get(message.call_id, {}), data)
