"""Classification of single values: random enough to be a secret, or a word, number, variable or placeholder."""

import re
from dataclasses import dataclass

_NOT_SECRET_NAMES = re.compile(
    r"(?i)(?:^|[_.-])(?:eos|bos|pad|unk|sep|cls|mask|image|video|audio|stop|start|end|special|next|new|num|max|min|per|"
    r"continuation|page|cursor|sync|mean|total|last|first|decoder_start|primary|foreign|cache|sort|public|partition|"
    r"boi|eoi|think|tool|user|assistant|role|n)[_-]?(?:page|token|key)\d*\Z"
)
_PASSWORD_NAME = re.compile(r"(?i)(?:pass(?:word|wd|phrase|code)?|pwd)\d*\Z")
_WORKING_FOLDER = re.compile(r"(?:^|_)(?:OLD)?PWD\Z")
_BARE_PASS = re.compile(r"(?i)(?:^|[^a-z_-])pass\Z")
_ACCOUNT_BEFORE = re.compile(r"(?i)\b(?:login|user|machine)\s")
_PLACEHOLDER_WORD = re.compile(
    r"(?i)your|xxx|\.\.\.|\*\*\*|…|example|change_?me|placeholder|insert|replace|dummy|redacted|<|>|todo|fill"
)
_VARIABLE = re.compile(
    r"\$|%[A-Za-z_]+%|\{|env\.|environ|getenv|process\.|secrets\.|self\.|args\.|config\.|settings\.|os\."
)
_NUMBER = re.compile(r"[-+]?[0-9][0-9_.,]*(?:e[-+]?[0-9]+)?%?\Z")
_SECRET_ALPHABET = re.compile(r"[A-Za-z0-9_.~+/=!@#$%^*|:?-]+\Z")
_WORDS = re.compile(r"(?:[A-Za-z]?[a-z]+(?:[-_./][A-Za-z]?[a-z0-9]{0,12})*|(?:[A-Z]?[a-z]{2,})(?:[A-Z][a-z]{2,})*)\Z")
_IDENTIFIER = re.compile(r"[a-z_][a-z_.]*\Z")
_NAME_OF_SECRET = re.compile(r"(?i)[a-z][a-z0-9_.]*_(?:token|key|secret|password)\Z")
_LITERALS = frozenset(
    {
        "none",
        "null",
        "true",
        "false",
        "nil",
        "undefined",
        "string",
        "str",
        "bool",
        "int",
        "optional",
        "required",
        "missing",
        "not",
        "set",
        "unset",
        "is",
        "the",
        "a",
        "an",
        "and",
        "or",
        "in",
        "of",
        "for",
        "to",
        "from",
        "redact",
        "hidden",
        "masked",
    }
)
_MIN_PASSWORD = 4
_MIN_PIN = 6
_MIN_TOKEN = 12
_MIN_RANDOM = 16


def is_harmless_value(value: str) -> bool:
    """Return whether the value cannot be a secret: empty, a literal, a variable or a placeholder."""
    bare = value.strip("\"'.:!?")
    if not bare or "[redacted" in value or bare.lower() in _LITERALS or len(set(bare)) == 1:
        return True
    if _VARIABLE.search(value):
        return True
    return _PLACEHOLDER_WORD.search(value) is not None and not looks_random(value.replace("example", ""))


def repeats_name(value: str, name: str) -> bool:
    """Return whether the value repeats the name or names a variable: `token=token`, `password: HF_PASSWORD`."""
    plain = re.sub(r"[^a-z]", "", value.lower())
    if not plain:
        return False
    is_constant = value.isupper() and "_" in value and not re.search(r"\d", value)
    return is_constant or plain in re.sub(r"[^a-z]", "", name.lower())


def looks_random(value: str) -> bool:
    """Return whether the value is long, uses the alphabet of secrets and mixes characters more than words do."""
    if len(value) < _MIN_RANDOM or not _SECRET_ALPHABET.match(value):
        return False
    if not _has_digit_and_letter(value):
        return _mixed_case(value) and not _WORDS.match(value)
    return not _WORDS.match(value) or len(re.findall(r"[0-9]+", value)) >= 3


@dataclass(frozen=True)
class Assignment:
    """An assignment: name, separator (colon, equals sign, spaces, quotes), value, and the text before the name."""

    name: str
    separator: str
    value: str
    lead: str

    @property
    def is_option(self) -> bool:
        """Return whether the name is a command option, as in `--token value`."""
        return self.name.startswith("-")

    @property
    def is_quoted(self) -> bool:
        """Return whether the value is quoted."""
        return self.separator.endswith(('"', "'"))


def looks_secret(found: Assignment) -> bool:
    """Return whether an assignment, whose value is not a placeholder, contains a secret."""
    if _NOT_SECRET_NAMES.search(found.name) or _NAME_OF_SECRET.match(found.value):
        return False
    if ("," in found.separator and not found.is_option) or found.lead.endswith("arn:aws:secretsmanager:"):
        return False
    if _PASSWORD_NAME.search(found.name):
        return _is_password(found)
    if _NUMBER.match(found.value) or len(found.value) < _MIN_TOKEN or not _SECRET_ALPHABET.match(found.value):
        return False
    if found.separator.isspace() and not found.is_option:
        return looks_random(found.value)
    return looks_random(found.value) or (not _WORDS.match(found.value) and _has_digit_and_letter(found.value))


def _is_password(found: Assignment) -> bool:
    value = found.value
    if _WORKING_FOLDER.search(found.name) or (found.separator.strip("\"'\\ ") == "" and _BARE_PASS.search(found.name)):
        return False
    if len(value) < _MIN_PASSWORD or (_NUMBER.match(value) and len(value) < _MIN_PIN):
        return False
    if found.separator.isspace():
        named = found.is_option or _ACCOUNT_BEFORE.search(found.lead)
        return not value.isalpha() and not value.startswith("-") if named else looks_random(value)
    if _IDENTIFIER.match(value) and not found.is_quoted:
        return found.name.isupper()
    return "=" in found.separator or found.is_option or found.is_quoted or not value.isalpha() or _mixed_case(value)


def _mixed_case(value: str) -> bool:
    return value.isalpha() and len(re.findall(r"[a-z][A-Z]", value)) >= 4


def _has_digit_and_letter(value: str) -> bool:
    return bool(re.search(r"[0-9]", value)) and bool(re.search(r"[A-Za-z]", value))
