"""Prints a transcript to stdout, row by row as they are final."""

import shutil
import sys

from ml_intern.terminal.display.paint import theme_for_terminal
from ml_intern.terminal.state import Transcript
from ml_intern.terminal.theme import Theme

PLAIN_WIDTH = 80


class Printer:
    """A transcript whose rows are printed."""

    def __init__(self, *, verbose: bool = False) -> None:
        terminal = sys.stdout.isatty()
        theme = theme_for_terminal()
        paint = theme if terminal else Theme("none", theme.unicode)
        self.transcript = Transcript(paint, verbose=verbose, medium="print")
        self._width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if terminal else PLAIN_WIDTH

    def print(self) -> None:
        """Print the rows that became final."""
        for row in self.transcript.finished(self._width, 1):
            print(row)
        sys.stdout.flush()
