"""The exact values of known secrets, and the encodings in which they are detected."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

MIN_SECRET_LENGTH = 8
_SECRET_NAME = re.compile(r"(?:^|[_-])(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD|PAT|CREDENTIALS?|APIKEY)\Z", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"://[^\s/@:]{0,256}:([^\s/@]{1,512})@")
_COMMON_VALUES = frozenset({"disabled", "password", "undefined", "changeme", "redacted", "anonymous", "localhost"})


class KnownSecrets:
    """A set of secret values with their placeholders. It never reveals a value."""

    def __init__(self) -> None:
        self._forms: dict[str, str] = {}
        self._ordered: tuple[tuple[str, str], ...] = ()

    def add(self, value: str, placeholder: str) -> None:
        """Add `value` and each of its lines. Values under 8 characters and common words are ignored."""
        for part in {value.strip(), *(line.strip() for line in value.splitlines())}:
            if len(part) >= MIN_SECRET_LENGTH and part.lower() not in _COMMON_VALUES:
                self._forms.update(dict.fromkeys(_encodings(part), placeholder))
        self._ordered = tuple(sorted(self._forms.items(), key=lambda item: -len(item[0])))

    def clear(self) -> None:
        """Remove every value."""
        self._forms.clear()
        self._ordered = ()

    def redact(self, text: str, placeholder: re.Pattern[str]) -> str:
        """Replace every known value outside of placeholders."""
        if not any(form in text for form, _ in self._ordered):
            return text
        pieces: list[str] = []
        end = 0
        for match in placeholder.finditer(text):
            pieces += [self._replace(text[end : match.start()]), match.group()]
            end = match.end()
        return "".join([*pieces, self._replace(text[end:])])

    def _replace(self, text: str) -> str:
        for form, placeholder in self._ordered:
            if form in text:
                text = text.replace(form, placeholder)
        return text


def is_secret_name(name: str) -> bool:
    """Return whether a variable with this name contains a secret."""
    return _SECRET_NAME.search(name) is not None


def environment_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets of an environment by variable name: variables with a secret name, and passwords in URLs."""
    return dict(_secrets_of(environment))


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without secrets, for a program that needs none."""
    secret = environment_secrets(environment)
    return {name: value for name, value in environment.items() if name not in secret}


def _secrets_of(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        if is_secret_name(name) and not _is_path(value):
            yield name, value
        elif login := _URL_PASSWORD.search(value):
            yield name, login.group(1)


def _is_path(value: str) -> bool:
    """Return whether the value is the path of an existing file, as in some *_KEY variables."""
    try:
        return value.startswith(("/", "~", "./")) and Path(value).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _encodings(value: str) -> set[str]:
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, quote(raw, safe=""), quote(raw), quote_plus(raw), json.dumps(value)[1:-1], raw.hex()}
    for lead in range(3):
        core = _base64_core(raw, lead)
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= MIN_SECRET_LENGTH}


def _base64_core(raw: bytes, lead: int) -> str:
    """Return the base64 characters that depend only on `raw` if it starts `lead` bytes into a group of three."""
    encoded = base64.b64encode(b"\0" * lead + raw).decode("ascii")
    first = -(-lead * 8 // 6)
    return encoded[first : (lead + len(raw)) * 8 // 6]
