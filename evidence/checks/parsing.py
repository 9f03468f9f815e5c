"""The syntax tree of a script, parsed once."""

import ast
from functools import lru_cache
from typing import Final

_MAX_SOURCE: Final = 200_000


@lru_cache(maxsize=128)
def nodes_of(source: str) -> tuple[ast.AST, ...]:
    """Return the nodes of a script; none if it is not valid Python or too large. The first is the module."""
    return parsed_nodes(source)


def parsed_nodes(source: str) -> tuple[ast.AST, ...]:
    """Return the nodes of a script, and keep nothing: the trees of all scripts of a thread need much memory."""
    if len(source) > _MAX_SOURCE:
        return ()
    try:
        return tuple(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
