"""The model's Markdown as rows. Lines of code stay whole and get no blanks added, so that copying them is clean."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ml_intern.terminal.blocks.inline import inline_spans
from ml_intern.terminal.blocks.spans import Line, paint, span, wrap
from ml_intern.terminal.blocks.table import table_rows
from ml_intern.terminal.theme import Theme

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

MIN_WIDTH = 8


def reply_rows(text: str, width: int, theme: Theme) -> list[str]:
    """Return the rows of a reply. Only a line of code may be wider than `width`."""
    return Markdown(theme).rows(text, width)


def code_blocks(text: str) -> list[str]:
    """Return the code of a reply's fenced and indented blocks, in order, for copying."""
    return [node.content for node in _parse(text).walk() if node.type in ("fence", "code_block")]


def _parse(text: str) -> "SyntaxTreeNode":
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

    return SyntaxTreeNode(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text))


class Markdown:
    """Renders the blocks of a Markdown text, in one theme."""

    def __init__(self, theme: Theme) -> None:
        self._theme = theme
        self._kinds: Mapping[str, Callable[[SyntaxTreeNode, int], list[str]]] = {
            "paragraph": self._paragraph,
            "heading": self._heading,
            "fence": self._code,
            "code_block": self._code,
            "bullet_list": self._list,
            "ordered_list": self._list,
            "blockquote": self._quote,
            "table": lambda node, width: table_rows(node, width, self._theme),
            "hr": lambda _, width: [theme.paint("dim", theme.glyph("rule") * min(width, 40))],
            "html_block": self._html,
        }

    def rows(self, text: str, width: int) -> list[str]:
        """Return the rows of a text."""
        return self._blocks(_parse(text).children, max(width, MIN_WIDTH))

    def _blocks(self, nodes: "Sequence[SyntaxTreeNode]", width: int, *, tight: bool = False) -> list[str]:
        rows: list[str] = []
        for node in nodes:
            part = self._kinds.get(node.type, self._other)(node, width)
            rows += ["", *part] if rows and part and not tight else part
        return rows

    def _paragraph(self, node: "SyntaxTreeNode", width: int) -> list[str]:
        return self._lines(inline_spans(node), width)

    def _lines(self, lines: "Sequence[Line]", width: int) -> list[str]:
        return [paint(part, self._theme) for line in lines for part in wrap(line, width)]

    def _heading(self, node: "SyntaxTreeNode", width: int) -> list[str]:
        return self._lines(inline_spans(node, "heading"), width)

    def _code(self, node: "SyntaxTreeNode", _: int) -> list[str]:
        lines = node.content.removesuffix("\n").split("\n")
        return [paint([span(line, "code")], self._theme) for line in lines]

    def _html(self, node: "SyntaxTreeNode", width: int) -> list[str]:
        return self._lines([(span(line),) for line in node.content.rstrip("\n").split("\n")], width)

    def _other(self, node: "SyntaxTreeNode", width: int) -> list[str]:
        return self._lines(inline_spans(node), width) if node.type == "inline" else self._blocks(node.children, width)

    def _quote(self, node: "SyntaxTreeNode", width: int) -> list[str]:
        bar = self._theme.paint("dim", f"{self._theme.glyph('bar')} ")
        return [f"{bar}{row}" for row in self._blocks(node.children, width - 2)]

    def _list(self, node: "SyntaxTreeNode", width: int) -> list[str]:
        """Render a list. Items of an ordered list have numbers of one width."""
        first = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
        last = str((first or 0) + len(node.children) - 1)
        rows: list[str] = []
        tight = _is_tight(node)
        for place, item in enumerate(node.children):
            mark = self._theme.glyph("bullet") if first is None else f"{first + place:>{len(last)}}."
            part = self._item(item, f"{mark} ", width, tight=tight)
            rows += ["", *part] if rows and not tight else part
        return rows

    def _item(self, item: "SyntaxTreeNode", mark: str, width: int, *, tight: bool) -> list[str]:
        rows = self._blocks(item.children, max(width - len(mark), MIN_WIDTH), tight=tight) or [""]
        first = f"{self._theme.paint('accent', mark.rstrip())} {rows[0]}".rstrip()
        return [first, *(f"{' ' * len(mark)}{row}" if row else row for row in rows[1:])]


def _is_tight(node: "SyntaxTreeNode") -> bool:
    """Return whether no empty lines are between the items: the parser hides their paragraphs."""
    return all(child.hidden for item in node.children for child in item.children if child.type == "paragraph")
