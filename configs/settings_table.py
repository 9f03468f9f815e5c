"""The table of settings for the documentation: key, default, and the docstring of each field as its meaning."""

import ast
import inspect
import json
from collections.abc import Iterator
from itertools import pairwise

from pydantic import BaseModel

from ml_intern.configs.mcp_servers import McpServer
from ml_intern.configs.settings import Destination, Settings

_WITHIN: dict[str, tuple[str, type[BaseModel]]] = {
    "mcpServers": ("mcpServers.NAME", McpServer),
    "destinations": ("messaging.destinations.NAME", Destination),
}


def settings_rows(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield one row per key that has a value; nested objects become dotted keys."""
    meanings = _meanings(model)
    for name, field in model.model_fields.items():
        key, inner = f"{prefix}{name}", field.annotation
        default = field.get_default(call_default_factory=True)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settings_rows(inner, f"{key}.")
        elif name in _WITHIN:
            yield from settings_rows(_WITHIN[name][1], f"{_WITHIN[name][0]}.")
        else:
            yield f"`{key}`", "" if field.is_required() else f"`{_written(default)}`", meanings.get(name, "")


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring of each field, in one line."""
    (found,) = ast.parse(inspect.getsource(model)).body
    body = found.body if isinstance(found, ast.ClassDef) else []
    docstrings: dict[str, str] = {}
    for before, after in pairwise(body):
        if not isinstance(before, ast.AnnAssign) or not isinstance(before.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            docstrings[before.target.id] = " ".join(after.value.value.split())
    return docstrings
