"""The syntax tree of a script, parsed once."""

import ast
from functools import lru_cache
from typing import Final

_MAX_SOURCE: Final = 200_000


@lru_cache(maxsize=128)
def nodes_of(source: str) -> tuple[ast.AST, ...]:
    """Return the nodes of a script; none if it is not valid Python or too large. The first is the module."""
    if len(source) > _MAX_SOURCE:
        return ()
    try:
        return tuple(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
