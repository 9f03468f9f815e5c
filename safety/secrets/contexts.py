"""Secrets recognized by their context: private key blocks, headers, URLs with a password, and NAME_TOKEN=value."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ml_intern.safety.secrets.words import Assignment, is_harmless_value, looks_random, looks_secret, repeats_name
from ml_intern.text.word_table import words

MakePlaceholder = Callable[[str], str]

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

_KEYS = sorted(
    words("api access auth private signing encryption account master service secret shared license subscription")
)
_WORD = (
    r"pass(?:word|wd|phrase|code)|\bpass|_pass|pwd|secret|token|credentials?|"
    rf"(?:{'|'.join(_KEYS)})[_-]?key"
)
_NAMED = re.compile(
    rf"((?:(?i:{_WORD})|(?<=[A-Z0-9]_)(?:KEY|PAT))[0-9]{{0,3}})"
    r"((?:\\{0,3}[\"'\]]){0,2}\s{0,4}(?::=|=>|==|[:=,]|%3[dDaA])\s{0,4}(?:\\{0,3}[\"']){0,2}|\s{1,4}(?:\\{0,3}[\"'])?)"
    r"([^\s\"'`,;&<>\\(){}\[\]]++)"
)
_USER_OPTION = re.compile(r"((?:^|\s)(?:-u|--user)[ =]['\"]?[^\s:'\"]{1,128}:)([^\s'\"]{4,512})")
_HEX_KEY = re.compile(
    r"(?i)(\b(?:wandb|kaggle)(?:_api)?(?:[ _-]?key)?\b(?:\.ai)?(?:\s+login\b(?:\s+--[a-z]+){0,3})?"
    r"[\s:=\"',]{1,6}(?:(?:api[ _-]?)?key\b[\s:=\"',]{1,6})?)"
    r"([0-9a-f]{40}|[0-9a-f]{32})(?![0-9a-f])"
)
_KAGGLE_FILE = re.compile(r"(\"key\\?\"\s{0,4}:\s{0,4}\\?\")([0-9a-f]{32})(?=\\?\")")
_SHORT_PASSWORD = re.compile(
    r"(\b(?:mysql|mysqldump|mysqladmin|mariadb|mysqlimport)\b[^\n;|&]{0,200}?\s-p['\"]?)((?!\s)[^\s'\";|&$-][^\s'\";|&]{2,200})"
)
_SSHPASS = re.compile(r"((?:\bsshpass\s+(?:-[vV]\s+){0,2}-p[ =]?|\bSSHPASS=)['\"]?)([^\s'\"$][^\s'\"]{2,200})")
_PASSWORD_OPTION = re.compile(
    r"(\b(?:redis-cli\b[^\n;|&]{0,200}?\s-a|(?:un)?zip\b[^\n;|&]{0,200}?\s-P|openssl\s+enc\b[^\n;|&]{0,200}?\s-k|"
    r"(?:docker|podman|az|oc|helm\s+registry)\s+login\b[^\n;|&]{0,200}?\s-p|twine\s+upload\b[^\n;|&]{0,200}?\s-p|"
    r"ldap[a-z]{3,9}\b[^\n;|&]{0,200}?\s-w)\s+['\"]?|\b(?:7z[ar]?|rar|unrar)\s[^\n;|&]{0,200}?\s-h?p['\"]?|"
    r"\b(?:smbclient|rpcclient)\b[^\n;|&]{0,200}?\s-U\s?[^\s%]{1,100}%)([^\s'\"$-][^\s'\"]{2,200})"
)
_PASSWORD_PROGRAMS = ("redis-cli", "zip", "openssl", "login", "twine", "ldap", "7z", "rar", "smbclient", "rpcclient")
_SIGNATURE = re.compile(
    r"(?i)((?:^|[?&;\s\"']|&amp;|%26|\\u0026)(?:x-amz-signature|x-amz-security-token|x-goog-signature|signature|sig)(?:=|%3d))"
    r"([A-Za-z0-9%+/=_-]{20,})"
)
# Plain searches find where _NAMED can match; trying it at every position takes a hundred times as long.
_PLAIN_WORDS = ("pass", "_pass", "pwd", "secret", "token", "credential")
_KEY_NAMES = tuple(f"{word}{sign}" for word in _KEYS for sign in ("", "_", "-"))
_SPECIAL_CASE_LETTERS = "\u0130\u0131\u017f\u212a"
"""Letters that case-insensitive patterns match as i, s and k, but lower() does not convert."""
_MAX_NAME = 64
_EXAMPLES = frozenset({"pass", "password", "passwd", "pwd", "token", "secret", "key"})


def redact_contexts(text: str, make_placeholder: MakePlaceholder) -> str:
    """Replace secrets recognized by their context; `make_placeholder` takes the kind. Runs in linear time."""
    text = _key_blocks(text, make_placeholder("private_key"))
    lowered = text.lower()
    needs_full_search = len(lowered) != len(text) or any(letter in text for letter in _SPECIAL_CASE_LETTERS)
    for header in _HEADERS:
        if needs_full_search or any(word in lowered for word in header.words):
            text = header.pattern.sub(_keep_first(make_placeholder(header.kind), header.judge), text)
    replace = _named(make_placeholder("value"))
    return (
        _NAMED.sub(replace, text)
        if needs_full_search
        else _replaced(text, sorted({*_named_starts(text, text.lower())}), replace)
    )


def _named_starts(text: str, lowered: str) -> Iterator[int]:
    """Yield every position at which _NAMED can match, and a few others."""
    for word in _PLAIN_WORDS:
        yield from _positions(lowered, word)
    for at in _positions(lowered, "key"):
        if lowered.endswith(_KEY_NAMES, 0, at):
            yield from (at - len(name) for name in _KEY_NAMES if lowered.endswith(name, 0, at))
        yield at
    yield from _positions(text, "PAT")


def _positions(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def _replaced(text: str, starts: list[int], replace: Callable[[re.Match[str]], str]) -> str:
    """Return the result of _NAMED.sub if it can match only at `starts`."""
    pieces: list[str] = []
    end = 0
    for start in starts:
        if start >= end and (match := _NAMED.match(text, start)):
            pieces += [text[end:start], replace(match)]
            end = match.end()
    return "".join([*pieces, text[end:]])


def _key_blocks(text: str, placeholder: str) -> str:
    if "PRIVATE KEY" not in text:
        return text
    pieces: list[str] = []
    end = 0
    while header := _KEY_HEADER.search(text, end):
        body = _KEY_BODY.match(text, header.end())
        stop = body.end() if body else header.end()
        secret = text[header.end() : stop]
        pieces += [text[end : header.end()], f" {placeholder}" if secret.strip() else secret]
        end = stop
    return "".join(pieces) + text[end:]


def _keep_first(placeholder: str, judge: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        lead, value = match.group(1), match.group(2)
        if is_harmless_value(value) or not judge(value):
            return match.group()
        return f"{lead}{placeholder}{match.group()[len(lead) + len(value) :]}"

    return replace


def _is_not_example(value: str) -> bool:
    return value.lower() not in _EXAMPLES


def _is_long(value: str) -> bool:
    return len(value) >= 8


@dataclass(frozen=True)
class Header:
    """A pattern whose second group is a secret if `judge` accepts it; used only for text with one of `words`."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    kind: str
    judge: Callable[[str], bool]


_HEADERS = (
    Header(("authorization",), _AUTHORIZATION, "authorization", _is_long),
    Header(("authorization",), _BARE_AUTHORIZATION, "authorization", looks_random),
    Header(("bearer", "basic"), _BEARER, "authorization", looks_random),
    Header(("cookie",), _COOKIE, "cookie", _is_long),
    Header(("://",), _URL_LOGIN, "url_password", _is_not_example),
    Header(("://",), _URL_TOKEN, "url_token", looks_random),
    Header(("-u",), _USER_OPTION, "password", _is_not_example),
    Header(("wandb", "kaggle"), _HEX_KEY, "service_key", _is_long),
    Header(('"key',), _KAGGLE_FILE, "service_key", _is_long),
    Header(("mysql", "mariadb"), _SHORT_PASSWORD, "password", _is_not_example),
    Header(("sshpass",), _SSHPASS, "password", _is_not_example),
    Header(_PASSWORD_PROGRAMS, _PASSWORD_OPTION, "password", _is_not_example),
    Header(("sig",), _SIGNATURE, "signature", _is_long),
)


def _named(placeholder: str) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        word, separator, value = match.groups()
        text, start = match.string, match.start()
        lead = text[max(0, start - _MAX_NAME) : start]
        name = _name_before(lead) + word
        if is_harmless_value(value) or repeats_name(value, name) or _is_call(text, match.end(), value):
            return match.group()
        if not looks_secret(Assignment(name, separator, value, lead)):
            return match.group()
        return f"{word}{separator}{placeholder}"

    return replace


def _name_before(lead: str) -> str:
    tail = re.search(r"[A-Za-z0-9_.-]*\Z", lead)
    return tail.group() if tail else ""


def _is_call(text: str, end: int, value: str) -> bool:
    """Return whether the value is code, as in `token = get_token(...)` and `tokens[0]`."""
    return text[end : end + 1] in {"(", "["} and value.replace(".", "").replace("_", "").isalnum()
