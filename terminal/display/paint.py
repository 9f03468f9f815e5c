"""The theme of this terminal."""

import os
import sys

from ml_intern.terminal.theme import Theme, choose_theme


def theme_for_terminal(setting: str = "auto", background: str = "") -> Theme:
    """Choose the theme of the terminal at stdout. `background` is its answer to OSC 11, or ""."""
    unicode = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    return choose_theme(os.environ, setting, background, unicode=unicode)
