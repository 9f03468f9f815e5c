"""Parsing of bash with tree-sitter: every simple command at any depth, with its words rendered.

Rendering is a best effort to recognize denied commands. A word with an expansion is never literal.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import tree_sitter
import tree_sitter_bash

from ml_intern.text.word_table import words

PLAIN_KINDS = words(
    "program list pipeline command command_name word string string_content raw_string number comment concatenation "
    'redirected_statement file_redirect file_descriptor ; && || | |& " > >& &>'
) | {"\n", ""}
"""Kinds of syntax nodes, including anonymous ones, in commands that may run unasked."""

_SUBSTITUTIONS = frozenset({"command_substitution", "process_substitution"})
_EXPANSIONS = frozenset({"simple_expansion", "expansion", "arithmetic_expansion", "brace_expression", *_SUBSTITUTIONS})
_COMMANDS = frozenset({"command", "declaration_command", "unset_command", "test_command"})
_CONTINUED = re.compile(r"('[^']*'|\\[^\n])|(\n[ \t]*)\\(?=[A-Za-z])|\\\n")
_PATTERN = re.compile(r"(?<!\\)[*?\[]")
_ESCAPE = re.compile(r"\\(?:\n|([\s\S]))")
_ANSI_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|([\s\S]))")
_ANSI_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}


@dataclass(frozen=True)
class ShellWord:
    """A word without quotes. `literal` means that it contains no expansions except wildcards."""

    text: str
    literal: bool = True
    variables: tuple[str, ...] = ()
    globbed: bool = False
    """It contains an unquoted wildcard."""


@dataclass(frozen=True)
class Redirect:
    """A redirection: its operator (>, >>, <, <<<, <<, &> ...) and its target."""

    operator: str
    target: ShellWord
    extra: tuple[ShellWord, ...] = ()
    """Words of the command after the target, which the grammar assigns to the redirection."""


@dataclass(frozen=True)
class ShellCommand:
    """A simple command. `pipeline` identifies its pipeline, `host` the command whose word contains it."""

    words: tuple[ShellWord, ...]
    assignments: tuple[tuple[str, ShellWord], ...] = ()
    redirects: tuple[Redirect, ...] = ()
    pipeline: int = -1
    host: int = -1
    """Index of the command that contains the substitution around this one; -1 outside of substitutions."""
    names_command: bool = False
    """The substitution around this one is in the position of a command name."""

    @property
    def name(self) -> str:
        """Return the program without its folder; "" for a bare assignment."""
        return self.words[0].text.rsplit("/", 1)[-1] if self.words else ""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the words after the name."""
        return tuple(word.text for word in self.words[1:])


@dataclass
class Shell:
    """A parsed script."""

    text: str
    kinds: frozenset[str]
    has_error: bool
    commands: list[ShellCommand] = field(default_factory=list[ShellCommand])
    functions: tuple[tuple[str, str], ...] = ()
    """Names and bodies of the defined functions."""


@cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def parse(text: str, variables: Mapping[str, str]) -> Shell:
    """Parse `text`. `variables` (such as HOME) and the text's own literal assignments are expanded in words."""
    root = _parser().parse(_for_grammar(text).encode("utf-8", "surrogatepass")).root_node
    return _Collector(text, dict(variables)).collect(root)


def _for_grammar(text: str) -> str:
    """Join continued lines and drop a backslash at the start of a line, which the grammar parses unlike bash."""
    return _CONTINUED.sub(lambda match: match.group(1) or match.group(2) or "", text)


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode("utf-8", "surrogatepass")


class _Collector:
    """Walks the tree once without recursion, since the input controls the nesting."""

    def __init__(self, text: str, variables: dict[str, str]) -> None:
        self.variables = variables
        self.shell = Shell(text, frozenset(), False)
        self.kinds: set[str] = set()
        self.functions: list[tuple[str, str]] = []

    def collect(self, root: tree_sitter.Node) -> Shell:
        stack: list[tuple[tree_sitter.Node, int, int, bool, tuple[Redirect, ...]]] = [(root, -1, -1, False, ())]
        while stack:
            node, pipeline, host, in_name, redirects = stack.pop()
            self.kinds.add(node.type)
            if node.type == "pipeline":
                pipeline = node.id
            elif node.type == "function_definition":
                self.functions.append(self._function(node))
            elif node.type in _SUBSTITUTIONS:
                pipeline = -1
            elif node.type == "redirected_statement":
                redirects = (*redirects, *self._redirects(node))
            if node.type in _COMMANDS:
                self._add(node, pipeline, (host, in_name), redirects)
                host = len(self.shell.commands) - 1
            elif node.type == "variable_assignment" and node.parent is not None and node.parent.type not in _COMMANDS:
                self._add(node, pipeline, (host, in_name), ())
                host = len(self.shell.commands) - 1
            in_name = node.type == "command_name" or (in_name and node.type not in _COMMANDS)
            own = redirects if node.type not in _COMMANDS else ()
            stack.extend((child, pipeline, host, in_name, own) for child in reversed(node.children))
        self.shell.kinds, self.shell.functions = frozenset(self.kinds), tuple(self.functions)
        self.shell.has_error = root.has_error
        return self.shell

    def _function(self, node: tree_sitter.Node) -> tuple[str, str]:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        return (_text(name) if name else "", _text(body) if body else "")

    def _add(
        self, node: tree_sitter.Node, pipeline: int, nesting: tuple[int, bool], redirects: tuple[Redirect, ...]
    ) -> None:
        assignments: list[tuple[str, ShellWord]] = []
        words: list[ShellWord] = []
        children = [node] if node.type == "variable_assignment" else node.children
        for child in children:
            if child.type == "variable_assignment":
                assignments.append(self._assignment(child))
            elif not child.type.endswith("_redirect") and child.type != "comment":
                words += self._split(self.word(child))
        if not words:
            self.variables.update({name: value.text for name, value in assignments if value.literal})
        own = (*redirects, *self._redirects(node))
        words += [word for redirect in own for word in redirect.extra]
        self.shell.commands.append(ShellCommand(tuple(words), tuple(assignments), own, pipeline, *nesting))

    def _assignment(self, node: tree_sitter.Node) -> tuple[str, ShellWord]:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        return (_text(name) if name else "", self.word(value) if value else ShellWord(""))

    def _redirects(self, node: tree_sitter.Node) -> tuple[Redirect, ...]:
        return tuple(self._redirect(child) for child in node.children if child.type.endswith("_redirect"))

    def _redirect(self, node: tree_sitter.Node) -> Redirect:
        operator = next((child.type for child in node.children if not child.is_named), "?")
        named = [child for child in node.children if child.is_named and child.type != "file_descriptor"]
        body = [child for child in named if child.type == "heredoc_body"]
        words = tuple(self.word(child) for child in body or named)
        return Redirect(
            operator, words[0] if words else ShellWord("", False), words[1:] if node.type == "file_redirect" else ()
        )

    def _split(self, word: ShellWord) -> list[ShellWord]:
        """Split an unquoted word at $IFS."""
        if "$IFS" not in word.text:
            return [word]
        return [ShellWord(part, False, word.variables) for part in re.split(r"(?:\$IFS)+", word.text) if part]

    def word(self, node: tree_sitter.Node) -> ShellWord:
        inner = list(_descendants(node))
        variables = tuple(_text(item) for item in inner if item.type in {"variable_name", "special_variable_name"})
        literal = not any(item.type in _EXPANSIONS for item in inner)
        globbed = any(item.type in {"word", "extglob_pattern"} and _PATTERN.search(_text(item)) for item in inner)
        return ShellWord(self.render(node), literal, variables, globbed)

    def render(self, node: tree_sitter.Node, depth: int = 0) -> str:
        text = _text(node)
        if depth > 40 or node.type in _SUBSTITUTIONS:
            return "$(...)"
        if node.type == "raw_string":
            return text[1:-1]
        if node.type == "ansi_c_string":
            return _ANSI_ESCAPE.sub(_ansi, text[2:-1])
        if node.type in {"simple_expansion", "expansion"}:
            return self._variable(node, text)
        if node.type in {"string", "translated_string"}:
            return self._joined(node, depth).removeprefix('"').removesuffix('"')
        if node.type == "string_content":
            return re.sub(r"\\([$`\"\\\n])", lambda match: match.group(1).strip("\n"), text)
        if node.type in {"concatenation", "command_name"}:
            return self._joined(node, depth)
        return self._tilde(_ESCAPE.sub(lambda match: match.group(1) or "", text))

    def _joined(self, node: tree_sitter.Node, depth: int) -> str:
        """Return the rendered children and the text between them, which is not part of the tree."""
        source, parts, end = node.text or b"", [], node.start_byte
        for child in node.children:
            parts.append(source[end - node.start_byte : child.start_byte - node.start_byte].decode("utf-8", "replace"))
            parts.append(self.render(child, depth + 1))
            end = child.end_byte
        return "".join(parts)

    def _tilde(self, text: str) -> str:
        return self.variables.get("HOME", "~") + text[1:] if text == "~" or text.startswith("~/") else text

    def _variable(self, node: tree_sitter.Node, text: str) -> str:
        name = next(
            (_text(child) for child in node.children if child.type.endswith("variable_name")), text.strip("${}")
        )
        return self.variables.get(name, f"${name}")


def _ansi(match: re.Match[str]) -> str:
    two, four, eight, octal, letter = match.groups()
    if letter is not None:
        return _ANSI_LETTERS.get(letter, letter)
    code = int(octal, 8) if octal else int(two or four or eight, 16)
    return chr(code) if code < 0x110000 else ""


def _descendants(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(current.children)
