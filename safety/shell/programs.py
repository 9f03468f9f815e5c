"""Checks of operands that are small languages (find, awk, sed ...). Each returns the problem, or ""."""

import re
from collections.abc import Sequence

from ml_intern.text.word_table import words

_FIND_ALONE = words(
    "-print -print0 -ls -empty -readable -writable -executable -depth -mount -xdev -prune -true -false -o -a -or -and "
    "-not "
    "-daystart -nouser -nogroup -quit ! ( ) , -H -P"
)
_FIND_VALUED = words(
    "-name -iname -path -ipath -wholename -iwholename -regex -iregex -type -xtype -size -mtime -mmin -atime -amin "
    "-ctime "
    "-cmin -maxdepth -mindepth -perm -user -group -uid -gid -links -inum -regextype -printf -newermt -lname -ilname"
)
_AWK_NAMES = words(
    "BEGIN END print printf NR NF FNR FS OFS ORS RS FILENAME if else next exit length substr split index match tolower "
    "toupper sprintf int sqrt exp log in for delete gsub sub"
)
_AWK_FORBIDDEN = re.compile(r"system|getline|close|fflush|ENVIRON|PROCINFO|ARG[VC]|\bwhile\b|\bdo\b|\bfunc|@")
_AWK_TOKEN = re.compile(
    r'>=?\s*[0-9.]+|"(?:[^"\\\n|>]|\\[nt"\\/])*"|/(?:[^/\\\n"|>{}]|\\[^\n"|>{}])+/|[A-Za-z_][A-Za-z0-9_]*(\s*\()?|'
    r"[\s\d{}()$=!<+\-*/%,;:.&~?\[\]^]"
)
_SED_ADDRESS = r"(?:\d+|\$|/[^/\\\n]*/)"
_SED_COMMAND = re.compile(
    rf"\s*(?:{_SED_ADDRESS}(?:,[+~]?{_SED_ADDRESS})?\s*!?\s*)?(?:[pdqQ=lNnDPhHgGx]|"
    rf"s/[^/\\\n]*(?:\\[^\n][^/\\\n]*)*/[^/\\\n]*(?:\\[^\n][^/\\\n]*)*/[gIip0-9]*)?\s*\Z"
)
_JQ_FORBIDDEN = re.compile(r"\b(?:env|ENV|import|include|modulemeta|input_filename|get_search_list|\$__loc__)\b")
_PS_LETTERS = re.compile(r"[auxwfjlvmTr]+\Z|[0-9,]+\Z")
_TEST_OPERATORS = frozenset(
    ["-f", "-d", "-e", "-s", "-r", "-w", "-x", "-L", "-h", "-n", "-z", "=", "==", "!=", "!", "-nt", "-ot", "-ef"]
)


def check_find(words: Sequence[str]) -> str:
    """Allow only tests and printing. The caller checks the folders as paths."""
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word in _FIND_VALUED:
            position += 1
        elif word.startswith("-") and word not in _FIND_ALONE:
            return f"find {word} can write files or start programs"
    return ""


def find_folders(words: Sequence[str]) -> list[str]:
    """Return the folders that find starts in: the words before its first test."""
    folders: list[str] = []
    for word in words:
        if word in {"-H", "-P"}:
            continue
        if word.startswith("-") or word in {"!", "(", ")", ","}:
            break
        folders.append(word)
    return folders


def check_awk(words: Sequence[str]) -> str:
    """Allow patterns, fields and arithmetic, but no system(), pipe, redirection, getline or environment."""
    program = words[0] if words else ""
    if not program or _AWK_FORBIDDEN.search(program):
        return "awk with a program that may run commands, write files or read the environment"
    end = depth = 0
    for token in _AWK_TOKEN.finditer(program):
        if token.start() != end or _is_unsafe_awk(token, depth):
            break
        depth += (token.group() == "{") - (token.group() == "}")
        end = token.end()
    return "" if end == len(program) else f"awk with {program[end : end + 12]} can do more than print"


def _is_unsafe_awk(token: re.Match[str], depth: int) -> bool:
    """Reject unlisted functions, and > inside an action, where it writes to a file."""
    if token.group().startswith(">"):
        return depth > 0
    name = re.match(r"[A-Za-z_]\w*", token.group())
    return name is not None and name.group() not in _AWK_NAMES and (bool(token.group(1)) or name.group().isupper())


def check_sed(words: Sequence[str]) -> str:
    """Allow printing, deleting and substituting to stdout, but not the commands e, w and r."""
    if not words:
        return "sed without a script"
    parts = words[0].split(";") if "s/" not in words[0] else [words[0]]
    return (
        "" if all(_SED_COMMAND.match(part) for part in parts) else "a sed script that may write files or run commands"
    )


def check_jq(words: Sequence[str]) -> str:
    """Reject access to the environment and modules."""
    found = _JQ_FORBIDDEN.search(words[0]) if words else None
    return f"jq with {found.group()} can read other files or the environment" if found else ""


def check_printf(words: Sequence[str]) -> str:
    """Reject options, because -v assigns a variable."""
    return "printf with an option" if words and words[0].startswith("-") else ""


def check_date(words: Sequence[str]) -> str:
    """Reject operands without +, which set the clock."""
    return "" if all(word.startswith("+") for word in words) else "date sets the clock"


def check_seq(words: Sequence[str]) -> str:
    """Allow only short numbers, so that it terminates."""
    return "" if all(re.fullmatch(r"-?[0-9.]{1,7}", word) for word in words) else "seq over a long range"


def check_sleep(words: Sequence[str]) -> str:
    """Allow at most 99 seconds."""
    is_short = len(words) == 1 and re.fullmatch(r"[0-9]{1,2}(?:\.[0-9]+)?s?", words[0]) is not None
    return "" if is_short else "a long sleep"


def check_tar(words: Sequence[str]) -> str:
    """Allow listing. An archive with a colon would be read from another machine."""
    if words and not re.fullmatch(r"(?=.*t)[tvzjJaf]+", words[0]):
        return "tar may write files or start programs"
    return "tar with a remote archive" if any(":" in word for word in words) else ""


def check_ps(words: Sequence[str]) -> str:
    """Reject the letter e, which shows environments."""
    return "" if all(_PS_LETTERS.match(word) for word in words) else "ps with an operand that may show environments"


def check_test(words: Sequence[str]) -> str:
    """Allow file tests and comparisons. -v and arithmetic would evaluate their operands."""
    rejected = next((word for word in words if word.startswith("-") and word not in _TEST_OPERATORS), "")
    return f"test {rejected} can run code in its operands" if rejected else ""
