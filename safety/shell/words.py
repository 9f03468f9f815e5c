"""A strict parser of simple bash: words, quotes without expansion, ; && || | and newlines, nothing else.

It complements the grammar in tree.py: a command runs unasked only if both parse it identically.
"""

from dataclasses import dataclass, field

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,+@%^-!")
_GLOB = frozenset("*?[]")
_BLANK = " \t"
_OPERATORS = ("&&", "||", "|&", "|", ";", "\n")
# Redirections allowed besides these operators: merging stderr and stdout, and discarding output.
_REDIRECTS = (
    "2>&1",
    "1>&2",
    ">&2",
    "&>/dev/null",
    "2>/dev/null",
    "1>/dev/null",
    ">/dev/null",
    "2> /dev/null",
    "> /dev/null",
)


class NotPlain(Exception):
    """The text contains syntax that is not plain; the message names it."""


@dataclass(frozen=True)
class PlainWord:
    """A word as the program receives it; `globbed` if it contains a wildcard."""

    text: str
    globbed: bool = False
    home: bool = False
    """It begins with an unquoted tilde, which `text` includes."""


@dataclass
class PlainCommand:
    """One simple command and the operator after it: "", ;, newline, &&, || or a pipe."""

    words: list[PlainWord] = field(default_factory=list[PlainWord])
    operator: str = ""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.commands = [PlainCommand()]

    def read(self) -> list[PlainCommand]:
        while self.at < len(self.text):
            self._step()
        return [command for command in self.commands if command.words]

    def _step(self) -> None:
        character = self.text[self.at]
        if character in _BLANK:
            self.at += 1
        elif self.text.startswith("\\\n", self.at):
            self.at += 2
        elif character == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end
        elif redirect := self._first_of(_REDIRECTS):
            self._redirect(redirect)
        elif operator := self._first_of(_OPERATORS):
            self._end_command(operator)
        elif character == "&":
            raise NotPlain("a command in the background")
        else:
            self.commands[-1].words.append(self._word())

    def _first_of(self, choices: tuple[str, ...]) -> str:
        return next((one for one in choices if self.text.startswith(one, self.at)), "")

    def _end_command(self, operator: str) -> None:
        if not self.commands[-1].words and operator != "\n":
            raise NotPlain(f"a {operator} with no command before it")
        self.commands[-1].operator = operator
        self.commands.append(PlainCommand())
        self.at += len(operator)

    def _redirect(self, redirect: str) -> None:
        after = self.text[self.at + len(redirect) : self.at + len(redirect) + 1]
        if not self.commands[-1].words or (after and after not in _BLANK + ";|\n"):
            raise NotPlain("a redirection")
        self.at += len(redirect)

    def _word(self) -> PlainWord:
        parts: list[str] = []
        globbed = False
        home = self.text[self.at] == "~"
        while self.at < len(self.text) and self.text[self.at] not in _BLANK + "\n;|&":
            character = self.text[self.at]
            globbed = globbed or character in _GLOB
            parts.append(self._part(character, is_first=not parts))
        return PlainWord("".join(parts), globbed, home)

    def _part(self, character: str, *, is_first: bool) -> str:
        if character == "'":
            return self._quoted("'")
        if character == '"':
            return self._quoted('"')
        if character == "\\":
            return self._escaped()
        is_plain = character in _PLAIN or character in _GLOB or (ord(character) > 0x7F and character.isalnum())
        if not is_plain and not (character == "~" and is_first):
            raise NotPlain(f"an unquoted {character}")
        self.at += 1
        return character

    def _escaped(self) -> str:
        following = self.text[self.at + 1 : self.at + 2]
        if not following:
            raise NotPlain("a trailing backslash")
        self.at += 2
        return "" if following == "\n" else following

    def _quoted(self, quote: str) -> str:
        end = self.text.find(quote, self.at + 1)
        if end < 0:
            raise NotPlain("an open quote")
        inner = self.text[self.at + 1 : end]
        if quote == '"' and any(character in inner for character in "$`\\"):
            raise NotPlain("an expansion or an escape in double quotes")
        self.at = end + 1
        return inner


def plain_commands(text: str) -> list[PlainCommand]:
    """Split `text` into simple commands. Raises NotPlain for any other syntax."""
    return _Reader(text).read()
