"""Images among the rows of the transcript, on terminals with kitty's graphics protocol or iTerm2's inline images."""

import base64
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from ml_intern.terminal.display.frame import Size
from ml_intern.text.images import data_url, image_type

Graphics = Literal["", "kitty", "iterm2"]
ASK_GRAPHICS = "\x1b_Gi=1,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
"""Ask whether the terminal has kitty's graphics protocol. Only terminals that ignore unknown sequences are asked."""
HAS_GRAPHICS = "\x1b_Gi=1;OK"
CLEAR = "\x1b_Ga=d,q=2\x1b\\"
"""Remove the images on the screen."""
MAX_CHARACTERS = 1_000_000
"""Longest image that is sent, in base64."""
MAX_ROWS = 15
ROW_PIXELS = 20
"""The height of a row, and twice the width of a column, for which the size of an image is chosen."""
_CHUNK = 4_096
_PNG = "data:image/png;base64,"


def has_images(environ: Mapping[str, str]) -> bool:
    """Return whether images can reach the terminal: not through tmux or screen."""
    is_inside = environ.get("TMUX") or environ.get("STY") or environ.get("TERM", "").startswith(("screen", "tmux"))
    return not is_inside


def inline_images(environ: Mapping[str, str]) -> bool:
    """Return whether the terminal says that it has iTerm2's inline images."""
    return environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm") or environ.get("LC_TERMINAL") == "iTerm2"


class Images:
    """Turns images into rows for a terminal. Without a protocol, or where an image is too large, there are none."""

    def __init__(self, environ: Mapping[str, str], size: Callable[[], Size]) -> None:
        self.possible = has_images(environ)
        """Whether the terminal may be asked for kitty's protocol."""
        self.enabled = True
        self._graphics: Graphics = "iterm2" if self.possible and inline_images(environ) else ""
        self._size = size
        self._shown = False

    def has_kitty(self) -> None:
        """Use kitty's protocol, which the terminal has."""
        self._graphics = "kitty" if self.possible else ""

    def of_file(self, path: str, width: int) -> list[str]:
        """Return the rows of an image file."""
        if not (self._graphics and self.enabled):
            return []
        try:
            kind = image_type(Path(path))
            url = data_url(Path(path), kind) if kind else None
        except (OSError, ValueError):
            return []
        return self.of_url(url, width) if url else []

    def of_url(self, url: str, width: int) -> list[str]:
        """Return the rows of an image that is a data URL."""
        if not (self._graphics and self.enabled) or len(url) > MAX_CHARACTERS:
            return []
        if self._graphics == "kitty" and not url.startswith(_PNG):
            return []
        columns, rows = _box(_pixels(url), width - 2, max(min(MAX_ROWS, self._size().height // 2 - 1), 1))
        data = url.partition(",")[2]
        sequence = _kitty(data, rows) if self._graphics == "kitty" else _iterm2(data, columns, rows)
        self._shown = True
        return _reserved(sequence, rows)

    def cleared(self) -> str:
        """Return what removes the images from the screen. Other terminals remove them with the rows."""
        shown, self._shown = self._shown and self._graphics == "kitty", False
        return CLEAR if shown else ""


def _reserved(sequence: str, rows: int) -> list[str]:
    """Return empty rows, the last of which draws the image over all of them: the rows exist then on any terminal."""
    up = f"\x1b[{rows - 1}A" if rows > 1 else ""
    return [*[""] * (rows - 1), f"\x1b7{up}\r\x1b[2C{sequence}\x1b8"]


def _kitty(data: str, rows: int) -> str:
    chunks = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
    first = f"a=T,f=100,q=2,C=1,r={rows},"
    parts = (
        f"\x1b_G{'' if number else first}m={int(number < len(chunks) - 1)};{chunk}\x1b\\"
        for number, chunk in enumerate(chunks)
    )
    return "".join(parts)


def _iterm2(data: str, columns: int, rows: int) -> str:
    return f"\x1b]1337;File=inline=1;width={columns};height={rows};preserveAspectRatio=1:{data}\x07"


def _pixels(url: str) -> tuple[int, int] | None:
    """Return the width and height of a PNG; None for other images."""
    if not url.startswith(_PNG):
        return None
    try:
        start = base64.b64decode(url[len(_PNG) : len(_PNG) + 32])
        width, height = struct.unpack(">II", start[16:24])
    except (ValueError, struct.error):
        return None
    return (width, height) if width and height else None


def _box(pixels: tuple[int, int] | None, columns: int, rows: int) -> tuple[int, int]:
    """Return the columns and rows that an image takes: not enlarged, and with its proportions where they are known."""
    if pixels is None:
        return columns, rows
    width, height = pixels
    rows = max(min(rows, -(-height // ROW_PIXELS), columns * height // (2 * width)), 1)
    return columns, rows
