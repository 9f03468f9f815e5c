"""Source code as HTML with syntax colours, by Pygments. The text is escaped; only listed languages are coloured."""

import re
from functools import lru_cache
from html import escape
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from pygments.formatters import HtmlFormatter

MAX_COLOURED: Final = 60_000
"""Longest text, in characters, that is coloured; longer ones are shown in one colour."""
_LEXERS: Final = {
    "bash": "bash sh shell zsh console",
    "c": "c h",
    "cpp": "cpp cc cxx hpp c++",
    "css": "css",
    "diff": "diff patch",
    "docker": "docker dockerfile",
    "go": "go",
    "html": "html htm",
    "ini": "ini cfg conf",
    "java": "java",
    "javascript": "javascript js mjs",
    "json": "json jsonl ipynb",
    "make": "make makefile mk",
    "markdown": "markdown md",
    "python": "python py pyi python3",
    "pycon": "pycon",
    "r": "r",
    "rust": "rust rs",
    "sql": "sql",
    "toml": "toml",
    "typescript": "typescript ts tsx",
    "xml": "xml svg",
    "yaml": "yaml yml",
}
_ALIASES: Final = {alias: lexer for lexer, aliases in _LEXERS.items() for alias in aliases.split()}
_NUMBERED: Final = re.compile(r"^ *(\d+)\t(.*)$")


def safe(text: str) -> str:
    """Return the text escaped for HTML, with hidden characters made visible."""
    return escape(visible(text), quote=True)


def language_of(path: str) -> str:
    """Return the language of a file by its name; "" when it is not listed."""
    name = PurePosixPath(path).name.lower()
    return _ALIASES.get(name.rpartition(".")[2], "")


def code(text: str, language: str = "") -> str:
    """Return source code as a safe block with syntax colours."""
    return f'<pre class="code"><code>{coloured(text, language)}</code></pre>'


def coloured(text: str, language: str = "") -> str:
    """Return source code as safe HTML. An unknown language, or a very long text, is only escaped."""
    lexer = _ALIASES.get(language.lower(), "")
    if not lexer or len(text) > MAX_COLOURED:
        return safe(text)
    from pygments import highlight
    from pygments.lexers import get_lexer_by_name

    found = get_lexer_by_name(lexer, stripnl=False)
    html = str(highlight(visible(text), found, _formatter()))
    return html if text.endswith("\n") else html.removesuffix("\n")  # Pygments ends every text with a newline


def numbered_code(text: str, language: str) -> str | None:
    """Return lines that begin with their number and a tab as a block with a column of numbers; None for other texts."""
    lines = text.rstrip("\n").split("\n")
    found = [match for line in lines if (match := _NUMBERED.match(line))]
    if not found or len(found) < len(lines) - 1:  # a closing line says how much was left out
        return None
    pieces = coloured("\n".join(match[2] for match in found), language).split("\n")
    rows = [f'<span class="ln">{match[1]:>5}</span> {piece}' for match, piece in zip(found, pieces, strict=True)]
    rest = [safe(line) for line in lines if not _NUMBERED.match(line)]
    content = "\n".join([*rows, *rest])
    return f'<pre class="code"><code>{content}</code></pre>'


@lru_cache
def _formatter() -> "HtmlFormatter[str]":
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(nowrap=True)
