"""Secrets told by what stands around them: private key blocks, headers, URLs with a password, and NAME_TOKEN=value."""

import re
from collections.abc import Callable

from safety.secret_words import Assignment, looks_random, looks_secret, names_nothing, same_as_name

Stand = Callable[[str], str]

_KEY_HEADER = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BETWEEN = r"(?:\s|\\+[nrt]|[\"',|>#:\t]|(?<=\s)[0-9]{1,6}(?=[\t:|]))"
_KEY_BODY = re.compile(
    rf"(?:{_BETWEEN}*+(?:[A-Za-z0-9+/=]{{16,}}+|(?:Proc-Type|DEK-Info|Version|Comment|Hash)[^\n\\]{{0,200}}))*+"
    rf"(?:{_BETWEEN}*+[A-Za-z0-9+/=]{{1,80}}+){{0,2}}(?:{_BETWEEN}*+-----END[A-Z0-9 ]{{0,60}}-----)?"
)

_AUTHORIZATION = re.compile(
    r"(?i)(authorization\\{0,3}[\"']?\s{0,4}[:=,]\s{0,4}(?:[brf]?\\{0,3}[\"'])?"
    r"(?:bearer|basic|token|digest|negotiate|apikey|key)\s{1,4})([^\s\"'\\<>`{}]++)"
)
_BARE_AUTHORIZATION = re.compile(
    r"(?i)(authorization\\{0,3}[\"']?\s{0,4}[:=]\s{0,4}(?:[brf]?\\{0,3}[\"'])?)([^\s\"'\\<>`{}]++)"
)
_BEARER = re.compile(r"(?i)(\b(?:bearer|basic)\s{1,4})([A-Za-z0-9._~+/=-]{12,}+)")
_COOKIE = re.compile(
    r"(?i)(\b(?:set-)?cookie\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?)([^\s=;\"'\\<>`]{1,128}=[^\r\n\"'\\<>`]++)"
)
_URL_LOGIN = re.compile(r"(://[^\s/?#@:\"'<>`\[]{0,256}:)([^\s/?#\"'<>`]{1,512})@")
_URL_TOKEN = re.compile(r"(https?://)([^\s/?#@:\"'<>`\[\]]{16,512})(?=(?::(?:x-oauth-basic)?)?@)")

_WORD = (
    r"pass(?:word|wd|phrase|code)|\bpass|_pass|pwd|secret|token|credentials?|"
    r"(?:api|access|auth|private|signing|encryption|account|master|service|secret|shared|license|subscription)[_-]?key"
)
_NAMED = re.compile(
    rf"((?:(?i:{_WORD})|(?<=[A-Z0-9]_)(?:KEY|PAT))[0-9]{{0,3}})"
    r"((?:\\{0,3}[\"'\]]){0,2}\s{0,4}(?::=|=>|==|[:=,]|%3[dDaA])\s{0,4}(?:\\{0,3}[\"']){0,2}|\s{1,4}(?:\\{0,3}[\"'])?)"
    r"([^\s\"'`,;&<>\\(){}\[\]]++)"
)
_USER_OPTION = re.compile(r"((?:^|\s)(?:-u|--user)[ =]['\"]?[^\s:'\"]{1,128}:)([^\s'\"]{4,512})")
_LONGEST_NAME = 64
_EXAMPLES = frozenset({"pass", "password", "passwd", "pwd", "token", "secret", "key"})


def redact_contexts(text: str, stand: Stand) -> str:
    """Replace what its surroundings name a secret; `stand` makes the placeholder of a kind. Linear in the length."""
    text = _key_blocks(text, stand("private_key"))
    for pattern, kind, judge in _HEADERS:
        text = pattern.sub(_keep_first(stand(kind), judge), text)
    return _NAMED.sub(_named(stand("value")), text)


def _key_blocks(text: str, stand_in: str) -> str:
    if "PRIVATE KEY" not in text:
        return text
    pieces: list[str] = []
    end = 0
    while header := _KEY_HEADER.search(text, end):
        body = _KEY_BODY.match(text, header.end())
        stop = body.end() if body else header.end()
        secret = text[header.end() : stop]
        pieces += [text[end : header.end()], f" {stand_in}" if secret.strip() else secret]
        end = stop
    return "".join(pieces) + text[end:]


def _keep_first(stand_in: str, judge: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        lead, value = match.group(1), match.group(2)
        if names_nothing(value) or not judge(value):
            return match.group()
        return f"{lead}{stand_in}{match.group()[len(lead) + len(value) :]}"

    return replace


def _no_example(value: str) -> bool:
    return value.lower() not in _EXAMPLES


def _long(value: str) -> bool:
    return len(value) >= 8


_HEADERS: tuple[tuple[re.Pattern[str], str, Callable[[str], bool]], ...] = (
    (_AUTHORIZATION, "authorization", _long),
    (_BARE_AUTHORIZATION, "authorization", looks_random),
    (_BEARER, "authorization", looks_random),
    (_COOKIE, "cookie", _long),
    (_URL_LOGIN, "url_password", _no_example),
    (_URL_TOKEN, "url_token", looks_random),
    (_USER_OPTION, "password", _no_example),
)


def _named(stand_in: str) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        word, separator, value = match.groups()
        text, start = match.string, match.start()
        lead = text[max(0, start - _LONGEST_NAME) : start]
        name = _name_before(lead) + word
        if names_nothing(value) or same_as_name(value, name) or _is_call(text, match.end(), value):
            return match.group()
        if not looks_secret(Assignment(name, separator, value, lead)):
            return match.group()
        return f"{word}{separator}{stand_in}"

    return replace


def _name_before(lead: str) -> str:
    tail = re.search(r"[A-Za-z0-9_.-]*\Z", lead)
    return tail.group() if tail else ""


def _is_call(text: str, end: int, value: str) -> bool:
    """`token = get_token(...)` and `tokens[0]` name code, no value."""
    return text[end : end + 1] in {"(", "["} and value.replace(".", "").replace("_", "").isalnum()
