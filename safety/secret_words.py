"""Judge a value by itself: is it random enough to be a secret, or a word, a number, a variable, a placeholder."""

import re

_NOT_SECRET_NAMES = re.compile(
    r"(?i)(?:^|[_.-])(?:eos|bos|pad|unk|sep|cls|mask|image|video|audio|stop|start|end|special|next|new|num|max|min|per|"
    r"continuation|page|cursor|sync|mean|total|last|first|decoder_start|primary|foreign|cache|sort|public|partition|"
    r"boi|eoi|think|tool|user|assistant|role|n)[_-]?(?:page|token|key)\d*\Z"
)
_PASSWORD_NAME = re.compile(r"(?i)(?:pass(?:word|wd|phrase|code)?|pwd)\d*\Z")
_ACCOUNT_BEFORE = re.compile(r"(?i)\b(?:login|user|machine)\s")
_PLACEHOLDER_WORD = re.compile(
    r"(?i)your|xxx|\.\.\.|\*\*\*|…|example|change_?me|placeholder|insert|replace|dummy|redacted|<|>|todo|fill"
)
_VARIABLE = re.compile(
    r"\$|%[A-Za-z_]+%|\{\{|env\.|environ|getenv|process\.|secrets\.|self\.|args\.|config\.|settings\.|os\."
)
_NUMBER = re.compile(r"[-+]?[0-9][0-9_.,]*(?:e[-+]?[0-9]+)?%?\Z")
_SECRET_ALPHABET = re.compile(r"[A-Za-z0-9_.~+/=!@#$%^*|:?-]+\Z")
_WORDS = re.compile(r"[A-Za-z]?[a-z]+(?:[-_./][A-Za-z]?[a-z0-9]{0,12})*\Z")
_LITERALS = frozenset({
    "none", "null", "true", "false", "nil", "undefined", "string", "str", "bool", "int", "optional", "required", "missing",
    "not", "set", "unset", "is", "the", "a", "an", "and", "or", "in", "of", "for", "to", "from", "redact", "hidden",
    "masked",
})
_SHORTEST_PASSWORD = 4
_SHORTEST_PIN = 6
_SHORTEST_TOKEN = 12
_SHORTEST_RANDOM = 16


def names_nothing(value: str) -> bool:
    """A variable, a placeholder, an empty or a literal value: it gives nothing away."""
    bare = value.strip("\"'.:!?")
    if not bare or "[redacted" in value or bare.lower() in _LITERALS or len(set(bare)) == 1:
        return True
    if _VARIABLE.search(value):
        return True
    return _PLACEHOLDER_WORD.search(value) is not None and not looks_random(value.replace("example", ""))


def same_as_name(value: str, name: str) -> bool:
    """`token=token`, `password: HF_PASSWORD`: the value repeats the name, or names a variable."""
    plain = re.sub(r"[^a-z]", "", value.lower())
    if not plain:
        return False
    is_constant = value.isupper() and "_" in value and not re.search(r"\d", value)
    return is_constant or plain in re.sub(r"[^a-z]", "", name.lower())


def looks_random(value: str) -> bool:
    """Long, of the alphabet of secrets, with letters and digits mixed beyond what words do."""
    if len(value) < _SHORTEST_RANDOM or not _SECRET_ALPHABET.match(value):
        return False
    if not _has_digit_and_letter(value):
        return _mixed_case(value)
    return not _WORDS.match(value) or len(re.findall(r"[0-9]+", value)) >= 3


def looks_secret(name: str, separator: str, value: str, lead: str) -> bool:
    """Tell whether NAME, the separator and a value that is no placeholder are a secret being set."""
    if _NOT_SECRET_NAMES.search(name):
        return False
    if _PASSWORD_NAME.search(name):
        return _is_password(name, separator, value, lead)
    if _NUMBER.match(value) or len(value) < _SHORTEST_TOKEN or not _SECRET_ALPHABET.match(value):
        return False
    if separator.isspace() and not _is_option(name):
        return looks_random(value)
    return looks_random(value) or (not _WORDS.match(value) and _has_digit_and_letter(value))


def _is_password(name: str, separator: str, value: str, lead: str) -> bool:
    if len(value) < _SHORTEST_PASSWORD or (_NUMBER.match(value) and len(value) < _SHORTEST_PIN):
        return False
    if separator.isspace() and not (_is_option(name) or _ACCOUNT_BEFORE.search(lead)):
        return looks_random(value)
    if "=" in separator or _is_option(name) or '"' in separator or "'" in separator:
        return True
    return not value.isalpha() or _mixed_case(value)


def _mixed_case(value: str) -> bool:
    return value.isalpha() and len(re.findall(r"[a-z][A-Z]", value)) >= 4


def _is_option(name: str) -> bool:
    return name.startswith("-")


def _has_digit_and_letter(value: str) -> bool:
    return bool(re.search(r"[0-9]", value)) and bool(re.search(r"[A-Za-z]", value))
