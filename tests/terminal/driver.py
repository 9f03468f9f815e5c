"""A terminal of one's own with the installed program in it, to type at."""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pyte

from ml_intern.configs.env import CREDENTIALS

PROGRAM = str(Path(sys.executable).with_name("ml-intern"))
OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
WAIT = 150
LEFT_OUT = ("NO_COLOR", "PYTHONPATH", "COLUMNS", "LINES")
CTRL_C, CTRL_D, CTRL_J, CTRL_S, ESCAPE = "\x03", "\x04", "\n", "\x13", "\x1b"
CONTROL = re.compile(r"\x1b\[[\d;?<>=]*[A-Za-z]|\x1b[()][0-9A-B]|\x1b[=>78]|\x1b\][^\x07]*\x07|\x1b_G[^\x1b]*\x1b\\")
PRIVATE = re.compile(rb"\x1b\[[<>=?][\d;]*u|\x1b_G[^\x1b]*\x1b\\")
"""Sequences of kitty's protocols, which pyte would show."""
ROWS, COLUMNS = 50, 120
HAS_KEYS, HAS_GRAPHICS, ATTRIBUTES = "\x1b[?0u", "\x1b_Gi=1;OK\x1b\\", "\x1b[?62;22c"
"""Answers of a terminal with kitty's protocols."""


def set_size(terminal: int, columns: int, rows: int) -> None:
    """Set the size of a terminal, of which its programs are notified."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    """A terminal with the program in it: type, and wait for what appears."""

    def __init__(self, argv: list[str], folder: Path, home: Path, **environment: str) -> None:
        kept = {name: value for name, value in os.environ.items() if name not in (*CREDENTIALS, *LEFT_OUT)}
        extra = {
            "ML_INTERN_HOME": str(home),
            "HF_HOME": str(home),
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
        } | environment
        self._main, child = os.openpty()
        self.screen = self._new_screen()
        set_size(child, self.screen.columns, self.screen.lines)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", OWN_TERMINAL, PROGRAM, *argv],
            stdin=child,
            stdout=child,
            stderr=child,
            cwd=folder,
            env={**kept, **extra, **environment},
            start_new_session=True,
        )
        os.close(child)
        self._stream = pyte.ByteStream(self.screen)
        self._seen = ""
        self._raw = b""
        self.written = b""
        """Everything the program wrote."""

    def _new_screen(self) -> pyte.Screen:
        return pyte.Screen(COLUMNS, ROWS)

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def enter(self, text: str) -> None:
        self.type(f"{text}\r")

    def expect(self, text: str) -> str:
        """Wait for the text in what was not expected before, and return what came with it. Rows may break it."""
        return self._await(re.compile(re.sub(r"\\ (?=\S)", r"\\s+", re.escape(text))))

    def prompt(self) -> str:
        """Wait until the program is at rest, and return what came with it."""
        deadline = time.monotonic() + WAIT
        while not any(row.startswith("  ready  ") for row in self.screen.display):
            assert time.monotonic() < deadline, f"the program is not at rest:\n{self._seen}"
            assert self._read(), f"the program ended:\n{self._seen}"
        before, self._seen = self._seen, ""
        return before

    def shows(self, text: str) -> None:
        """Wait until the text stands on the screen."""
        deadline = time.monotonic() + WAIT
        while not any(text in row for row in self.screen.display):
            assert time.monotonic() < deadline, "\n".join(self.screen.display)
            assert self._read(), f"the program ended:\n{self._seen}"

    def takes_keys(self) -> None:
        """Wait until the terminal hands on each key as it is typed: what came before that may be dropped."""
        deadline = time.monotonic() + WAIT
        while termios.tcgetattr(self._main)[3] & termios.ICANON:
            assert time.monotonic() < deadline, f"the program does not read keys:\n{self._seen}"
            time.sleep(0.01)

    def _await(self, wanted: re.Pattern[str]) -> str:
        deadline = time.monotonic() + WAIT
        while not (found := wanted.search(self._seen)):
            assert time.monotonic() < deadline, f"{wanted.pattern!r} did not appear in:\n{self._seen}"
            assert self._read(), f"the program ended before {wanted.pattern!r}:\n{self._seen}"
        before, self._seen = self._seen[: found.end()], self._seen[found.end() :]
        return before

    def ended(self) -> int:
        """Wait for the end of the program and return its exit code."""
        deadline = time.monotonic() + WAIT
        while self._read():
            assert time.monotonic() < deadline, f"the program did not end:\n{self._seen}"
        return self.process.wait(WAIT)

    def _read(self) -> bool:
        waiting = select.poll()  # not select(), which takes no descriptor above 1,023
        waiting.register(self._main, select.POLLIN)
        ready = waiting.poll(200)
        if not ready:
            return self.process.poll() is None
        try:
            read = os.read(self._main, 65536)
        except OSError:
            return False
        self._raw += read
        self.written += read
        self._stream.feed(PRIVATE.sub(b"", read))
        text = CONTROL.sub("", self._raw.decode("utf-8", errors="ignore"))
        if "\x1b" not in text[-20:]:
            self._seen, self._raw = self._seen + text, b""
        return True

    def hang_up(self) -> int:
        """Close the terminal under the program, as a connection that is lost does, and return the exit code."""
        os.close(self._main)
        self._main = -1
        return self.process.wait(WAIT)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._main >= 0:
            os.close(self._main)


class Kitty(Terminal):
    """A terminal that answers as kitty does."""

    def _read(self) -> bool:
        asked = len(self.written)
        there = super()._read()
        new = self.written[asked:]
        if b"\x1b[?u" in new:
            self.type(HAS_KEYS)
        if b"a=q" in new:
            self.type(HAS_GRAPHICS)
        self.type(ATTRIBUTES * new.count(b"\x1b[c"))
        return there
