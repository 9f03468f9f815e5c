"""The settings in effect as lines to show: path, value and source, with secrets hidden."""

import json
import re
from collections.abc import Iterator
from typing import Any

from ml_intern.configs.layers import Loaded
from ml_intern.safety.secrets.redaction import redact

HIDDEN = "[hidden]"
_SECRET_KEY = re.compile(r"token|secret|password|passwd|authorization|cookie|api.?key|credential", re.IGNORECASE)
_SECRET_FOLDERS = frozenset({"env", "headers"})


def shown_settings(loaded: Loaded) -> Iterator[tuple[str, Any, str]]:
    """Yield path, redacted value and source of every value that is not an object, and of empty objects."""

    def walk(value: Any, path: tuple[str, ...], source: str) -> Iterator[tuple[str, Any, str]]:
        source = loaded.sources.get(".".join(path), source)
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from walk(inner, (*path, key), source)
        else:
            secret = _is_secret(path) and value not in (None, "", {})
            yield ".".join(path), HIDDEN if secret else json.loads(redact(json.dumps(value))), source

    for key, value in loaded.settings.model_dump(mode="json").items():
        yield from walk(value, (key,), "default")


def _is_secret(path: tuple[str, ...]) -> bool:
    if path[0] == "model_params":
        return False
    return bool(_SECRET_KEY.search(path[-1])) or any(folder in _SECRET_FOLDERS for folder in path[:-1])
