"""The text inside a Markdown block as spans. A link shows its address, since its text may be misleading."""

from typing import TYPE_CHECKING

from ml_intern.terminal.blocks.spans import Line, Span, span
from ml_intern.terminal.theme import Style

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

_STYLES: dict[str, Style] = {"strong": "bold", "em": "italic", "s": "dim", "link": "link"}


def inline_spans(node: "SyntaxTreeNode", style: Style = "plain") -> list[Line]:
    """Return the lines of a block's text. A line break in the source is a blank, a hard one a new line."""
    lines: list[list[Span]] = [[]]
    _collect(node, style, lines)
    return [tuple(line) for line in lines]


def _collect(node: "SyntaxTreeNode", style: Style, lines: list[list[Span]]) -> None:
    if node.type == "hardbreak":
        lines.append([])
    elif node.type == "softbreak":
        lines[-1].append(Span(" ", style))
    elif node.type in ("text", "code_inline", "html_inline"):
        lines[-1].append(span(node.content, "code" if node.type == "code_inline" else style))
    elif node.type == "image":
        lines[-1].append(span(f"{node.content or 'image'} ({node.attrs.get('src', '')})", "link"))
    else:
        for child in node.children:
            _collect(child, _STYLES.get(node.type, style), lines)
        lines[-1] += _address(node)


def _address(node: "SyntaxTreeNode") -> list[Span]:
    """Return the address of a link, unless its text is the address."""
    if node.type != "link":
        return []
    address = str(node.attrs.get("href", ""))
    text = "".join(child.content for child in node.walk() if child.type == "text")
    return [] if address in (text, f"mailto:{text}") else [span(f" ({address})", "dim")]
