"""The paths in inline code of an interpreter that changes files: python -c, perl -e, awk programs, here-documents."""

import re
from collections.abc import Iterator, Sequence

from ml_intern.safety.shell.invocations import INTERPRETERS, Invocation

_CHANGES = re.compile(
    r"open\s*\([^)]*,\s*(?:mode\s*=\s*)?[\"'][^\"']*[wax+]|open\s*\(\s*\w+\s*,\s*[\"']\s*>|\bwrit|\btouch|mkdir|makedirs|"
    r"\brename|\breplace\(|symlink|link\(|\bcopy|\bmove\(|unlink|\bremove|rmtree|chmod|\bsystem|subprocess|popen|\bexec|"
    r"\bspawn|shutil|extract|\bfs\.|truncate|>>?\s*[\"']|\bprint\s[^\"']*>|__import__|getattr",
    re.IGNORECASE,
)
_STRING = re.compile(r"\"([^\"\\\n]{0,400})\"|'([^'\\\n]{0,400})'")
_BETWEEN = re.compile(r"\)?\s*(?:,|/|\+|\)\s*/|\)\.joinpath\(|)\s*")
_MAX_STRINGS = 200
_MAX_PARTS = 6
_AWK = frozenset({"awk", "gawk", "mawk", "nawk"})


def code_targets(one: Invocation, piped: str) -> Iterator[str]:
    """Yield the strings of code that may change files, alone and joined with the ones after them.

    `piped` is the text that the command gets on its standard input.
    """
    code = one.code or (next(iter(one.operands), "") if one.name in _AWK else "")
    if not code and one.name.rstrip("0123456789.") in INTERPRETERS and not {*one.operands} - {"-"}:
        code = piped
    if not code or not _CHANGES.search(code):
        return
    found = list(_STRING.finditer(code))[:_MAX_STRINGS]
    for at in range(len(found)):
        yield from _joined(code, found[at : at + _MAX_PARTS])


def _joined(code: str, strings: Sequence[re.Match[str]]) -> Iterator[str]:
    """Yield the first string, and it joined with the ones that follow in one expression: as a path and glued."""
    texts: list[str] = []
    end = 0
    for match in strings:
        if texts and not _BETWEEN.fullmatch(code[end : match.start()].strip()):
            return
        texts.append(match[1] or match[2] or "")
        end = match.end()
        yield "/".join(texts)
        yield "".join(texts)
