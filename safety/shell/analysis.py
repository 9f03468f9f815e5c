"""The risk of a shell command: auto, ask or deny, with the reason. Unknown syntax is asked about.

The analysis is a convenience; only the OS sandbox is a security boundary.
"""

from dataclasses import dataclass
from typing import Literal

from ml_intern.safety.files.protected import Control
from ml_intern.safety.files.written import find_controls
from ml_intern.safety.shell.denied import denial_reason
from ml_intern.safety.shell.invocations import MAX_INVOCATIONS, ParsedCommand, parse_command
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.safety.shell.reading import find_command_problem, find_reading_problem
from ml_intern.safety.shell.sandboxed import find_sandbox_problem, runs_no_code
from ml_intern.safety.shell.tree import PLAIN_KINDS, name_constructs
from ml_intern.safety.shell.words import NotPlain, PlainCommand, plain_commands
from ml_intern.text.visible import has_hidden

MAX_COMMAND = 100_000
"""Longest command in characters. The kernel rejects arguments over 131,072 bytes anyway."""

RiskKind = Literal["auto", "ask", "deny"]


@dataclass(frozen=True)
class Risk:
    """The treatment of a command, and the reason."""

    kind: RiskKind
    why: str


@dataclass(frozen=True)
class CommandAnalysis:
    """A command's risk and the properties that rules match."""

    risk: Risk
    parsed: ParsedCommand | None = None
    """None for a command that was rejected without parsing."""
    plain: tuple[tuple[str, ...], ...] | None = None
    """Word lists of its simple commands if it is plain, else None."""
    reading: frozenset[tuple[str, ...]] = frozenset()
    """The read-only commands among `plain`."""
    controls: tuple[Control, ...] = ()
    """The files it would change that other programs obey, git's first."""

    @property
    def is_complete(self) -> bool:
        """Return whether everything that it does is known, and nothing of it leaves the workspace."""
        return self.risk.kind == "auto" or (self.parsed is not None and runs_no_code(self.parsed))

    @property
    def programs(self) -> tuple[tuple[str, ...], ...]:
        """Return the word lists of all programs that it would start, including nested ones."""
        return tuple((one.name, *one.arguments) for one in (self.parsed.invocations if self.parsed else ()) if one.name)


def classify(command: str, context: CommandContext, *, sandboxed: bool = False) -> Risk:
    """Return the risk of a bash command line.

    auto: it only reads in the workspace; in the sandbox it may also run the project's code and write there.
    deny: it is refused in every mode. ask: everything else.
    """
    return analyze_command(command, context, sandboxed=sandboxed).risk


def analyze_command(command: str, context: CommandContext, *, sandboxed: bool = False) -> CommandAnalysis:
    """Analyze a command as `classify` does, and return its properties too."""
    if rejection := _reject_unparsed(command):
        return CommandAnalysis(rejection)
    parsed = parse_command(command, context)
    if len(parsed.invocations) > MAX_INVOCATIONS:
        return CommandAnalysis(
            Risk("deny", f"it starts more than {MAX_INVOCATIONS} programs; put it into a script file")
        )
    plain = _plain(command, parsed)
    commands = None if isinstance(plain, str) else tuple(tuple(word.text for word in one.words) for one in plain)
    problem = plain if isinstance(plain, str) else find_reading_problem(plain, context)
    reading = frozenset[tuple[str, ...]]() if isinstance(plain, str) else _reading(plain, context)
    if reason := denial_reason(parsed):
        return CommandAnalysis(Risk("deny", reason), parsed, commands, reading)
    if controls := find_controls(parsed):
        kind: RiskKind = "deny" if controls[0].kind == "git" else "ask"
        risk = Risk(kind, f"it would change {controls[0].reason}")
        return CommandAnalysis(risk, parsed, commands, reading, controls)
    if problem and sandboxed and not has_hidden(command):
        problem, allowed = find_sandbox_problem(parsed), "it is contained by the sandbox"
    else:
        allowed = "it only reads files in the workspace"
    return CommandAnalysis(Risk("ask", problem) if problem else Risk("auto", allowed), parsed, commands, reading)


def _reject_unparsed(command: str) -> Risk | None:
    if "\0" in command:
        return Risk("deny", "it contains a NUL byte")
    if len(command) > MAX_COMMAND:
        return Risk("deny", f"it is longer than {MAX_COMMAND:,} characters; put it into a script file")
    return None if command.strip() else Risk("ask", "it is empty")


def _reading(plain: list[PlainCommand], context: CommandContext) -> frozenset[tuple[str, ...]]:
    where = frozenset({context.folder})
    only_read = (one for one in plain if not find_command_problem(one.words, context, where))
    return frozenset(tuple(word.text for word in one.words) for one in only_read)


def _plain(command: str, parsed: ParsedCommand) -> list[PlainCommand] | str:
    """Return the simple commands if grammar and strict reader agree on them, else the reason against it."""
    shell = parsed.shells[0]
    if has_hidden(command):
        return "it contains hidden characters"
    if shell.has_error:
        return "it cannot be parsed"
    if not shell.kinds <= PLAIN_KINDS:
        used = name_constructs(shell.kinds - PLAIN_KINDS) or "shell syntax"
        return f"it uses {used}, which can start other programs or write files"
    try:
        commands = plain_commands(command)
    except NotPlain as reason:
        return f"it uses {reason}, which can start other programs or write files"
    return commands if _same_reading(commands, parsed) else "bash may understand it otherwise than it looks"


def _same_reading(commands: list[PlainCommand], parsed: ParsedCommand) -> bool:
    """Return whether the grammar and the strict reader found the same words."""
    grammar = [[word.text for word in command.words] for command in parsed.shells[0].commands]
    home = parsed.context.home
    strict = [[home + word.text[1:] if word.home else word.text for word in command.words] for command in commands]
    return grammar == strict and not any(command.assignments for command in parsed.shells[0].commands)
