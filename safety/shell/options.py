"""Parsing of a program's options according to its table entry. Unlisted options are rejected, never guessed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Operands = Literal["paths", "text", "none", "pattern"]
"""paths: files to read; text: no files; none: not allowed; pattern: one text, then files."""


class NotReadOnly(Exception):
    """The command uses an option or operand that the table does not list as harmless; the message names it."""


@dataclass(frozen=True)
class ReadOnly:
    """A read-only program with its allowed options and operands.

    `short`: letters; one followed by `:` takes a value, by `@` a path.
    `long`: names; one followed by `=` takes a value, by `=?` an optional value, by `=@` a path.
    """

    short: str = ""
    long: str = ""
    operands: Operands = "paths"
    max_operands: int = 1000
    """Maximum number of operands."""
    needs_option: bool = False
    """It is read-only only with an option, such as --version of an interpreter."""
    number: bool = False
    """Numbers such as -5 are options."""
    pattern_options: frozenset[str] = frozenset()
    """Options that replace the pattern operand."""
    raw: bool = False
    """Arguments are not options, as for echo, find and test."""
    lists_names: bool = False
    """It only shows file names, so wildcards may match secret files."""
    caches: bool = False
    """It may show the sizes of the download caches in the home folder."""
    check: Callable[[Sequence[str]], str] | None = None
    """Checks the operands; returns the problem, or ""."""

    @cached_property
    def letters(self) -> dict[str, str]:
        """Return the kind of each short option: "", ":" or "@"."""
        found: dict[str, str] = {}
        for index, letter in enumerate(self.short):
            if letter not in ":@":
                following = self.short[index + 1 : index + 2]
                found[letter] = following if following in {":", "@"} else ""
        return found

    @cached_property
    def names(self) -> dict[str, str]:
        """Return the kind of each long option: "", "=", "=?" or "=@"."""
        return {name: sign + kind for name, sign, kind in (word.partition("=") for word in self.long.split())}


@dataclass
class Arguments:
    """The parsed arguments of a command."""

    options: list[str] = field(default_factory=list[str])
    paths: list[str] = field(default_factory=list[str])
    """Option values that are paths."""
    operands: list[int] = field(default_factory=list[int])
    """Indexes of the operands."""


def split(program: ReadOnly, words: Sequence[str]) -> Arguments:
    """Parse the words after a program's name. Raises NotReadOnly for anything that the table does not allow."""
    found = Arguments()
    if program.raw:
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
            position += _long(program, word, words[position : position + 1], found)
        elif word.startswith("-") and word != "-":
            position += _short(program, word, words[position : position + 1], found)
        else:
            found.operands.append(position - 1)
    if program.needs_option and not found.options:
        raise NotReadOnly("these arguments")
    return found


def _long(program: ReadOnly, word: str, following: Sequence[str], found: Arguments) -> int:
    name, sign, value = word[2:].partition("=")
    kind = program.names.get(name)
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


def _short(program: ReadOnly, word: str, following: Sequence[str], found: Arguments) -> int:
    if program.number and word[1:].isdigit():
        return 0
    for index, letter in enumerate(word[1:], start=2):
        kind = program.letters.get(letter)
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
