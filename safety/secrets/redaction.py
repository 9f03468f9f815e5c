"""redact(text): what every text goes through before it becomes a message or an event. Secrets become placeholders.

The exact values this process holds go first, then the forms of secret_formats and the contexts of secret_contexts.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ml_intern.safety.secrets.contexts import redact_contexts
from ml_intern.safety.secrets.formats import FORMATS
from ml_intern.safety.secrets.known import KnownSecrets, secrets_of_environment

_PLACEHOLDER = re.compile(r"\[redacted:[A-Za-z0-9_.-]{1,64}\]")
_MAX_PASSES = 6

_HELD = KnownSecrets()


def placeholder(kind: str) -> str:
    """The text that stands for a secret of that kind, or for the variable that holds it."""
    return f"[redacted:{re.sub(r'[^A-Za-z0-9_.-]', '-', kind)[:64] or 'secret'}]"


def add_known_secrets(values: Mapping[str, str] | Iterable[str]) -> None:
    """Redact these exact values from now on, also base64- and URL-encoded.

    A mapping names the variable of each value, which its placeholder then shows. Values under 8 characters are ignored.
    """
    named = values.items() if isinstance(values, Mapping) else (("secret", value) for value in values)
    for name, value in named:
        _HELD.add(value, placeholder(name))


def register_environment(environment: Mapping[str, str] | None = None) -> None:
    """Hold every secret of the environment: *_TOKEN *_KEY *_SECRET *_PASSWORD and passwords within URLs."""
    add_known_secrets(secrets_of_environment(os.environ if environment is None else environment))


def forget_known_secrets() -> None:
    """Forget every held value; what is redacted stays redacted."""
    _HELD.clear()


def redact(text: str) -> str:
    """Return `text` without secrets, each replaced by [redacted:KIND]. Idempotent; linear in the length of the text."""
    for _ in range(_MAX_PASSES):
        redacted = _once(text)
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


def _once(text: str) -> str:
    text = _HELD.redact(text, _PLACEHOLDER)
    for form in FORMATS:
        if form.literal in text:
            text = form.pattern.sub(placeholder(form.kind), text)
    return redact_contexts(text, placeholder)


def contains_known(text: str) -> bool:
    """Tell whether a value given to `add_known_secrets` stands in `text`, in any of its encodings."""
    return _HELD.redact(text, _PLACEHOLDER) != text


def has_secret(text: str) -> bool:
    """Tell whether a held value, or what has the form of a known kind of secret, stands in a text that was redacted."""
    bare = _PLACEHOLDER.sub("", text)
    return contains_known(bare) or any(form.literal in bare and form.pattern.search(bare) for form in FORMATS)


def has_placeholder(value: object) -> bool:
    """Tell whether a placeholder stands anywhere in a string or in nested lists and mappings, keys included."""
    if isinstance(value, str):
        return _PLACEHOLDER.search(value) is not None
    if isinstance(value, Mapping):
        return any(has_placeholder(key) or has_placeholder(item) for key, item in value.items())
    return isinstance(value, list | tuple) and any(has_placeholder(item) for item in value)
