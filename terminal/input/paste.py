"""Pasted text of many lines, folded to a token in the input line."""

import re
import shlex
from pathlib import Path
from urllib.parse import unquote

IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
FOLDED_LINES = 6
FOLDED_CHARACTERS = 2_000
RECALLED_LINES = 20
"""The lines of an earlier message that is not folded."""
MAX_PATH = 8_192
"""Characters of a path with its quotes. Splitting a longer text into words can take seconds."""
TOKEN = re.compile(r"\[pasted #(\d+): \d+ (?:lines|characters)\]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def image_mention(text: str) -> str | None:
    """Return the mention of an image whose path was pasted, as terminals do when a file is dropped; else None."""
    if len(text) > MAX_PATH:
        return None
    try:
        words = shlex.split(text.strip().removeprefix("file://"))
        path = Path(unquote(words[0]) if text.strip().startswith("file://") else words[0])
        is_image = len(words) == 1 and path.suffix.lower() in IMAGES and path.is_absolute() and path.is_file()
    except (ValueError, IndexError, OSError):
        return None
    return f'@"{path}" ' if is_image else None


class Pastes:
    """The texts behind the tokens of one session."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def fold(self, text: str, max_lines: int = FOLDED_LINES) -> str:
        """Return what to insert for a pasted text: the text, or a token when it is long."""
        text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
        lines = text.rstrip("\n").count("\n") + 1
        if lines <= max_lines and len(text) <= FOLDED_CHARACTERS:
            return text
        self._texts.append(text)
        size = f"{lines} lines" if lines > 1 else f"{len(text)} characters"
        return f"[pasted #{len(self._texts)}: {size}]"

    def expand(self, text: str) -> str:
        """Return the text with every token replaced by what it stands for."""
        return TOKEN.sub(self._text, text)

    def expand_at(self, text: str, cursor: int) -> tuple[str, int] | None:
        """Expand the token at or just before the cursor; return the text and the cursor, None if there is no token."""
        for found in TOKEN.finditer(text):
            if found.start() < cursor <= found.end():
                before = text[: found.start()] + self._text(found)
                return before + text[found.end() :], len(before)
        return None

    def _text(self, found: re.Match[str]) -> str:
        number = int(found[1])
        return self._texts[number - 1] if 0 < number <= len(self._texts) else found[0]
