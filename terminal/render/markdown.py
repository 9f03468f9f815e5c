"""A piece of a reply as rows. Lines of code stay whole, so that they copy as they are."""

from ml_intern.terminal.blocks.reply import reply_rows
from ml_intern.terminal.blocks.width import clean
from ml_intern.terminal.render.stream import Piece
from ml_intern.terminal.theme import Theme


def markdown_rows(piece: Piece, width: int, theme: Theme) -> list[str]:
    """Return the rows of a piece of a reply."""
    if piece.kind == "code":
        return [theme.paint("code", clean(piece.source).rstrip())]
    return reply_rows(piece.source, width, theme)
