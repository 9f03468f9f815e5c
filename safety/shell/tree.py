"""Parsing of bash with tree-sitter: every simple command at any depth, with its words rendered.

Rendering is a best effort to recognize denied commands. A word with an expansion is never literal.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

import tree_sitter
import tree_sitter_bash

from ml_intern.text.word_table import words

PLAIN_KINDS = words(
    "program list pipeline command command_name word string string_content raw_string number comment concatenation "
    'redirected_statement file_redirect file_descriptor ; && || | |& " > >& &>'
) | {"\n", ""}
"""Kinds of syntax nodes, including anonymous ones, in commands that may run unasked."""
_CONSTRUCTS = {
    "for_statement": "a for loop",
    "c_style_for_statement": "a for loop",
    "while_statement": "a while loop",
    "if_statement": "a condition",
    "case_statement": "a condition",
    "test_command": "a condition",
    "function_definition": "a function",
    "variable_assignment": "a variable",
    "declaration_command": "a variable",
    "simple_expansion": "a variable",
    "expansion": "a variable",
    "arithmetic_expansion": "arithmetic",
    "command_substitution": "the output of another command",
    "process_substitution": "the output of another command",
    "heredoc_redirect": "a here-document",
    "herestring_redirect": "a here-string",
    "subshell": "a subshell",
    "compound_statement": "a group of commands",
    "&": "a command in the background",
}
"""The names of syntax nodes that are not plain, for the reason of a question."""

_SUBSTITUTIONS = frozenset({"command_substitution", "process_substitution"})
_PIPELINES = {"pipeline": 0, **dict.fromkeys(_SUBSTITUTIONS, -1)}
"""Nodes that begin another pipeline: its number, or 0 for the node's id."""
_EXPANSIONS = frozenset({"simple_expansion", "expansion", "arithmetic_expansion", "brace_expression", *_SUBSTITUTIONS})
_COMMANDS = frozenset({"command", "declaration_command", "unset_command", "test_command"})
_CONTINUED = re.compile(r"('[^']*'|\\[^\n])|(\n[ \t]*)\\(?=[A-Za-z])|\\\n")
_PATTERN = re.compile(r"(?<!\\)[*?\[]")
_ESCAPE = re.compile(r"\\(?:\n|([\s\S]))")
_ANSI_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|([\s\S]))")
_ANSI_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}

_COUNTS = re.compile(r"\$\(seq(?: -?[0-9.]+){1,3}\)|\{-?[0-9]+\.\.-?[0-9]+(?:\.\.[0-9]+)?\}")
_PRINTED = {
    "pwd": "PWD",
    "git rev-parse --show-toplevel": "PWD",
    "git rev-parse --git-dir": ".git",
    "git rev-parse --git-common-dir": ".git",
    "git rev-parse --absolute-git-dir": ".git",
    "git rev-parse --git-path hooks": ".git/hooks",
    "git rev-parse --git-path config": ".git/config",
}
"""The output of some commands: the value of a variable, or the text itself."""


def name_constructs(kinds: Iterable[str]) -> str:
    """Name the constructs among kinds of syntax nodes, for a person; "" if none has a name."""
    known = frozenset(kinds)
    named = list(dict.fromkeys(name for kind, name in _CONSTRUCTS.items() if kind in known))
    return " and ".join(filter(None, [", ".join(named[:-1]), *named[-1:]]))


@dataclass(frozen=True)
class ShellWord:
    """A word without quotes. `literal` means that it contains no expansions except wildcards."""

    text: str
    literal: bool = True
    variables: tuple[str, ...] = ()
    globbed: bool = False
    """It contains an unquoted wildcard."""
    braced: bool = False
    """It contains unquoted alternatives in braces."""

    @property
    def is_known(self) -> bool:
        """Whether all its expansions could be evaluated."""
        return self.literal or "$" not in self.text


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
    return _parsed(text, tuple(variables.items()))


@lru_cache(maxsize=64)
def _parsed(text: str, pairs: tuple[tuple[str, str], ...]) -> Shell:
    """Parse once: policy, the tool and the evidence look at the same command."""
    variables = dict(pairs)
    root = _parser().parse(_for_grammar(text).encode("utf-8", "surrogatepass")).root_node
    collector = _Collector(text, dict(variables))
    shell = collector.collect(root)
    if not (several := collector.several_values()):
        return shell
    return _Collector(text, {**variables, **several}, frozenset(several)).collect(root)


def _for_grammar(text: str) -> str:
    """Join continued lines and drop a backslash at the start of a line, which the grammar parses unlike bash."""
    return _CONTINUED.sub(lambda match: match.group(1) or match.group(2) or "", text)


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode("utf-8", "surrogatepass")


class _Collector:
    """Walks the tree once without recursion, since the input controls the nesting."""

    def __init__(self, text: str, variables: dict[str, str], fixed: frozenset[str] = frozenset()) -> None:
        self.variables = variables
        self.fixed = fixed
        """Variables with several values, which assignments no longer change."""
        self.assigned: dict[str, list[str]] = {}
        self.shell = Shell(text, frozenset(), False)
        self.kinds: set[str] = set()
        self.functions: list[tuple[str, str]] = []

    def collect(self, root: tree_sitter.Node) -> Shell:
        stack: list[tuple[tree_sitter.Node, int, int, bool, tuple[Redirect, ...]]] = [(root, -1, -1, False, ())]
        while stack:
            node, pipeline, host, in_name, redirects = stack.pop()
            self.kinds.add(node.type)
            self._note(node)
            pipeline = _PIPELINES.get(node.type, pipeline) or node.id
            if node.type == "redirected_statement":
                redirects = (*redirects, *self._redirects(node))
                self._add_bare(node, ShellCommand((), (), redirects, pipeline, host, in_name))
            elif node.type == "command_substitution" and (read := self._redirects(node)):
                self.shell.commands.append(ShellCommand((), (), read, pipeline, host, in_name))
            if self._is_command(node):
                self._add(node, pipeline, (host, in_name), redirects if node.type in _COMMANDS else ())
                host = len(self.shell.commands) - 1
            is_simple = node.type in _COMMANDS
            in_name = node.type == "command_name" or (in_name and not is_simple)
            own = () if is_simple else redirects
            stack.extend((child, pipeline, host, in_name, own) for child in reversed(node.children))
        self.shell.kinds, self.shell.functions = frozenset(self.kinds), tuple(self.functions)
        self.shell.has_error = root.has_error
        return self.shell

    def _add_bare(self, node: tree_sitter.Node, command: ShellCommand) -> None:
        """Add a redirection without a command, which creates or empties its file."""
        if all(child.type.endswith("_redirect") for child in node.children if child.is_named):
            self.shell.commands.append(command)

    def _is_command(self, node: tree_sitter.Node) -> bool:
        """Return whether the node is a simple command, a bare assignment included."""
        parent = node.parent.type if node.parent else ""
        return node.type in _COMMANDS or (node.type == "variable_assignment" and parent not in {"", *_COMMANDS})

    def _note(self, node: tree_sitter.Node) -> None:
        if node.type == "function_definition":
            self.functions.append(self._function(node))
        elif node.type == "for_statement":
            self._loop(node)

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
            for name, value in assignments:
                self._assign(name, value.text if value.is_known else f"${name}")
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
        braced = any(item.type == "word" and _text(item) == "{" for item in inner)
        return ShellWord(self.render(node), literal, variables, globbed, braced)

    def render(self, node: tree_sitter.Node, depth: int = 0) -> str:
        text = _text(node)
        if depth > 40 or node.type in _SUBSTITUTIONS:
            return (self._printed(node, depth) if depth <= 40 else None) or "$(...)"
        if node.type == "raw_string":
            return text[1:-1]
        if node.type == "ansi_c_string":
            return unescaped(text[2:-1])
        if node.type in {"simple_expansion", "expansion"}:
            return self._variable(node, text)
        if node.type in {"string", "translated_string"}:
            return self._joined(node, depth).removeprefix('"').removesuffix('"')
        if node.type == "string_content":
            return re.sub(r"\\([$`\"\\\n])", lambda match: match.group(1).strip("\n"), text)
        if node.type in {"concatenation", "command_name"}:
            return self._joined(node, depth)
        return self._tilde(_ESCAPE.sub(lambda match: match.group(1) or "", text))

    def _printed(self, node: tree_sitter.Node, depth: int) -> str | None:
        """Return what a substitution prints if it only prints its own words or a folder; None if unknown."""
        commands = [child for child in node.children if child.is_named]
        if len(commands) != 1 or commands[0].type != "command" or node.type != "command_substitution":
            return None
        texts = [self.render(child, depth + 1) for child in commands[0].children]
        line = " ".join(texts)
        if line in _PRINTED:
            return self.variables.get(_PRINTED[line], _PRINTED[line])
        if texts[0] == "echo":
            return " ".join(text for text in texts[1:] if text not in {"-n", "-e"})
        return _formatted(texts[1:]) if texts[0] == "printf" and len(texts) > 1 else None

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
        default = re.fullmatch(r"\$\{\w+:?[-=]([^${}`]*)\}", text)
        return self.variables.get(name, default[1] if default else f"${name}")

    def _loop(self, node: tree_sitter.Node) -> None:
        """Give the variable of a `for` loop its values, as one brace expression if there are several."""
        name, values = node.child_by_field_name("variable"), node.children_by_field_name("value")
        texts = [_counted(self.word(value), _text(value)) for value in values]
        if name is not None and texts and all(word.is_known for word in texts):
            self._assign(_text(name), *(word.text for word in texts))

    def _assign(self, name: str, *values: str) -> None:
        """Give a variable its possible values, as one brace expression if there are several."""
        self.assigned.setdefault(name, []).extend(values)
        if name not in self.fixed:
            self.variables[name] = _alternatives(values)

    def several_values(self) -> dict[str, str]:
        """Return the variables that are assigned more than once, since a loop may use a later value earlier."""
        distinct = {name: tuple(dict.fromkeys(values)) for name, values in self.assigned.items()}
        return {name: _alternatives(values) for name, values in distinct.items() if len(values) > 1}


def _alternatives(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{{{','.join(values)}}}"


def _counted(word: ShellWord, source: str) -> ShellWord:
    """Return a number for a value that only counts: $(seq 3) or {1..3}."""
    return ShellWord("1") if _COUNTS.fullmatch(source) else word


def _formatted(texts: list[str]) -> str:
    """Return the output of printf for a format of %s and literal text."""
    parts = re.split(r"%[sb]", re.sub(r"\\x([0-9A-Fa-f]{1,2})|\\([0-7]{1,3})", _octal, texts[0]))
    values = [*texts[1:], *([""] * len(parts))]
    return "".join(part + (values[at] if at < len(parts) - 1 else "") for at, part in enumerate(parts)).rstrip("\\n")


def _octal(match: re.Match[str]) -> str:
    return chr(int(match[1], 16) if match[1] else int(match[2], 8) & 0xFF)


def unescaped(text: str) -> str:
    """Return text with the escapes of $'...' replaced, which printf and echo -e know too."""
    return _ANSI_ESCAPE.sub(_ansi, text)


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
