"""Reading the options of one program by its table line. An option that is not in the line is refused, never guessed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Operands = Literal["paths", "text", "none", "pattern"]
"""paths: files to read; text: no files; none: not allowed; pattern: one text, then files."""


class NotReadOnly(Exception):
    """An option or an operand that the table does not know as harmless; the message names it."""


@dataclass(frozen=True)
class Reader:
    """A program that only reads, with what it may be given.

    `short`: letters; one followed by `:` takes a value, by `@` a path.
    `long`: names; one followed by `=` takes a value, by `=?` perhaps one, by `=@` a path.
    """

    short: str = ""
    long: str = ""
    operands: Operands = "paths"
    most: int = 1000
    """Operands at most."""
    needs_option: bool = False
    """Without an option it would do something else: --version of an interpreter."""
    number: bool = False
    """-5 is an option."""
    pattern_options: frozenset[str] = frozenset()
    """Options that take the place of the pattern operand."""
    raw: bool = False
    """Its words are no options: echo, find, test."""
    lists_names: bool = False
    """It shows names only: patterns need no look at what they match."""
    check: Callable[[Sequence[str]], str] | None = None
    """Looks at the operands; returns what is wrong with them, or ""."""

    @cached_property
    def letters(self) -> dict[str, str]:
        """Short option -> "" | ":" | "@"."""
        found: dict[str, str] = {}
        for index, letter in enumerate(self.short):
            if letter not in ":@":
                following = self.short[index + 1 : index + 2]
                found[letter] = following if following in {":", "@"} else ""
        return found

    @cached_property
    def names(self) -> dict[str, str]:
        """Long option -> "" | "=" | "=?" | "=@"."""
        return {name: sign + kind for name, sign, kind in (word.partition("=") for word in self.long.split())}


@dataclass
class Arguments:
    """What a command line was split into."""

    options: list[str] = field(default_factory=list[str])
    paths: list[str] = field(default_factory=list[str])
    """Values of options that name a file."""
    operands: list[int] = field(default_factory=list[int])
    """Positions of the operands."""


def split(reader: Reader, words: Sequence[str]) -> Arguments:
    """Split the words behind a program's name; raises NotReadOnly on what the line does not allow."""
    found = Arguments()
    if reader.raw:
        found.operands = list(range(len(words)))
        return found
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            found.operands += range(position, len(words))
            break
        if word.startswith("--"):
            position += _long(reader, word, words[position : position + 1], found)
        elif word.startswith("-") and word != "-":
            position += _short(reader, word, words[position : position + 1], found)
        else:
            found.operands.append(position - 1)
    if reader.needs_option and not found.options:
        raise NotReadOnly("no option")
    return found


def _long(reader: Reader, word: str, following: Sequence[str], found: Arguments) -> int:
    name, sign, value = word[2:].partition("=")
    kind = reader.names.get(name)
    if kind is None or (sign and not kind):
        raise NotReadOnly(f"option --{name}")
    found.options.append(name)
    if sign or kind in {"", "=?"}:
        found.paths += [value] if kind == "=@" else []
        return 0
    if not following:
        raise NotReadOnly(f"option --{name} without its value")
    found.paths += following if kind == "=@" else []
    return 1


def _short(reader: Reader, word: str, following: Sequence[str], found: Arguments) -> int:
    if reader.number and word[1:].isdigit():
        return 0
    for index, letter in enumerate(word[1:], start=2):
        kind = reader.letters.get(letter)
        if kind is None:
            raise NotReadOnly(f"option -{letter}")
        found.options.append(letter)
        if kind:
            attached = word[index:]
            if not attached and not following:
                raise NotReadOnly(f"option -{letter} without its value")
            found.paths += [attached or following[0]] if kind == "@" else []
            return 0 if attached else 1
    return 0
