"""The terminal that each `--watch` needs: one that can show a screen of its own, with the theme of the settings."""

import os
import sys
from pathlib import Path

from ml_intern.commands.options import Options
from ml_intern.commands.running.plain import shows_lines
from ml_intern.configs.errors import UsageError
from ml_intern.configs.layers import load
from ml_intern.terminal.theme import Theme, choose_theme


def check_watchable(instead: str) -> None:
    """Raise UsageError unless this is a terminal that can show a screen. `instead` is the command without --watch."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        raise UsageError("--watch needs a terminal", f"`{instead} --json` prints it once")
    if shows_lines(Options()):
        raise UsageError("--watch cannot be used in plain mode", f"`{instead}` prints it once")


def screen_theme() -> Theme:
    """Return the theme of the settings."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    return choose_theme(os.environ, load(Path.cwd()).settings.terminal.theme, unicode=unicode)
