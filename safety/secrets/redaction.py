"""redact(text), applied to every text before it becomes a message or an event. Secrets become placeholders.

Known values are replaced first, then the formats of formats.py and the contexts of contexts.py.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ml_intern.safety.secrets.contexts import redact_contexts
from ml_intern.safety.secrets.formats import FORMATS
from ml_intern.safety.secrets.known import KnownSecrets, environment_secrets

_PLACEHOLDER = re.compile(r"\[redacted:[A-Za-z0-9_.-]{1,64}\]")
_MAX_PASSES = 6

_KNOWN = KnownSecrets()


def placeholder(kind: str) -> str:
    """Return the placeholder for a kind of secret or for a variable."""
    return f"[redacted:{re.sub(r'[^A-Za-z0-9_.-]', '-', kind)[:64] or 'secret'}]"


def add_known_secrets(values: Mapping[str, str] | Iterable[str]) -> None:
    """Redact these exact values from now on, also base64- and URL-encoded.

    The keys of a mapping are variable names, which the placeholders show. Values under 8 characters are ignored.
    """
    named = values.items() if isinstance(values, Mapping) else (("secret", value) for value in values)
    for name, value in named:
        _KNOWN.add(value, placeholder(name))


def register_environment(environment: Mapping[str, str] | None = None) -> None:
    """Register every secret of the environment: *_TOKEN, *_KEY, *_SECRET, *_PASSWORD and passwords in URLs."""
    add_known_secrets(environment_secrets(os.environ if environment is None else environment))


def clear_known_secrets() -> None:
    """Remove all known values. Redacted text stays redacted."""
    _KNOWN.clear()


def redact(text: str) -> str:
    """Return `text` with each secret replaced by [redacted:KIND]. Idempotent; takes linear time."""
    for _ in range(_MAX_PASSES):
        redacted = _redact_once(text)
        if redacted == text:
            break
        text = redacted
    return text


def redact_value(value: Any) -> Any:
    """Return a JSON value with every string in it redacted. Keys stay as they are; tuples become lists."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redact_value(item) for key, item in value.items()}
    return [redact_value(item) for item in value] if isinstance(value, list | tuple) else value


def _redact_once(text: str) -> str:
    text = _KNOWN.redact(text, _PLACEHOLDER)
    for form in FORMATS:
        if form.literal in text:
            text = form.pattern.sub(placeholder(form.kind), text)
    return redact_contexts(text, placeholder)


def contains_known_secret(text: str) -> bool:
    """Return whether `text` contains a known secret in any encoding."""
    return _KNOWN.redact(text, _PLACEHOLDER) != text


def has_secret(text: str) -> bool:
    """Return whether redacted text still contains a known secret or a match of a secret format."""
    bare = _PLACEHOLDER.sub("", text)
    return contains_known_secret(bare) or any(form.literal in bare and form.pattern.search(bare) for form in FORMATS)


def has_placeholder(value: object) -> bool:
    """Return whether a string, or nested lists and mappings including keys, contain a placeholder."""
    if isinstance(value, str):
        return _PLACEHOLDER.search(value) is not None
    if isinstance(value, Mapping):
        return any(has_placeholder(key) or has_placeholder(item) for key, item in value.items())
    return isinstance(value, list | tuple) and any(has_placeholder(item) for item in value)
