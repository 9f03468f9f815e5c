"""The risk of a shell command: auto, ask or deny, with the reason. What is not understood is asked about.

The parse is comfort; the OS sandbox is the wall.
"""

from dataclasses import dataclass
from typing import Literal

from ml_intern.safety.shell.denied import denial
from ml_intern.safety.shell.invocations import MAX_INVOCATIONS, ParsedCommand, parsed_command
from ml_intern.safety.shell.paths import Place
from ml_intern.safety.shell.reading import judge_command, judge_reading
from ml_intern.safety.shell.sandboxed import judge_sandboxed
from ml_intern.safety.shell.tree import PLAIN_KINDS
from ml_intern.safety.shell.words import NotPlain, PlainCommand, plain_commands
from ml_intern.text.visible import has_hidden

MAX_COMMAND = 100_000
"""Characters; the kernel takes no argument over 131,072 bytes, so a longer command could not be started anyway."""

RiskKind = Literal["auto", "ask", "deny"]


@dataclass(frozen=True)
class Risk:
    """How a command is to be treated, and why."""

    kind: RiskKind
    why: str


@dataclass(frozen=True)
class Examined:
    """A command with its risk and what rules look at."""

    risk: Risk
    scene: ParsedCommand | None = None
    """None for what was refused unread."""
    plain: tuple[tuple[str, ...], ...] | None = None
    """Its commands as word lists when it is plain, else None."""
    reading: frozenset[tuple[str, ...]] = frozenset()
    """Those of them that only read."""

    @property
    def started(self) -> tuple[tuple[str, ...], ...]:
        """Every program it would start, nested ones too, as word lists."""
        return tuple((one.name, *one.arguments) for one in (self.scene.invocations if self.scene else ()) if one.name)


def classify(command: str, place: Place, *, sandboxed: bool = False) -> Risk:
    """Judge one command line of bash.

    auto: it only reads inside the workspace; in the sandbox it may also run the project's code and write there.
    deny: one of the few things that are refused in every mode. ask: everything else.
    """
    return examine(command, place, sandboxed=sandboxed).risk


def examine(command: str, place: Place, *, sandboxed: bool = False) -> Examined:
    """Judge a command as `classify` does, and keep what rules and the dialogue need."""
    if refusal := _refused_unread(command):
        return Examined(refusal)
    scene = parsed_command(command, place)
    if len(scene.invocations) > MAX_INVOCATIONS:
        return Examined(Risk("deny", f"it starts more than {MAX_INVOCATIONS} programs; put it into a script file"))
    plain = _plain(command, scene)
    commands = None if isinstance(plain, str) else tuple(tuple(word.text for word in one.words) for one in plain)
    against = plain if isinstance(plain, str) else judge_reading(plain, place)
    reading = frozenset[tuple[str, ...]]() if isinstance(plain, str) else _reading(plain, place)
    if reason := denial(scene):
        return Examined(Risk("deny", reason), scene, commands, reading)
    if against and sandboxed and not has_hidden(command):
        against, allowed = judge_sandboxed(scene), "the sandbox holds it"
    else:
        allowed = "it only reads inside the workspace"
    return Examined(Risk("ask", against) if against else Risk("auto", allowed), scene, commands, reading)


def _refused_unread(command: str) -> Risk | None:
    if "\0" in command:
        return Risk("deny", "it holds a NUL byte")
    if len(command) > MAX_COMMAND:
        return Risk("deny", f"it is longer than {MAX_COMMAND:,} characters; put it into a script file")
    return None if command.strip() else Risk("ask", "it is empty")


def _reading(plain: list[PlainCommand], place: Place) -> frozenset[tuple[str, ...]]:
    where = frozenset({place.folder})
    only_read = (one for one in plain if not judge_command(one.words, place, where))
    return frozenset(tuple(word.text for word in one.words) for one in only_read)


def _plain(command: str, scene: ParsedCommand) -> list[PlainCommand] | str:
    """The commands when grammar and strict reader agree on them, else what stands against it."""
    shell = scene.shells[0]
    if has_hidden(command):
        return "it holds hidden characters"
    if shell.has_error:
        return "it cannot be parsed"
    if not shell.kinds <= PLAIN_KINDS:
        return f"it uses {', '.join(sorted(shell.kinds - PLAIN_KINDS))}".replace("_", " ")
    try:
        commands = plain_commands(command)
    except NotPlain as reason:
        return f"it uses {reason}"
    return commands if _same_reading(commands, scene) else "two readings of it differ"


def _same_reading(commands: list[PlainCommand], scene: ParsedCommand) -> bool:
    """The grammar and the strict reader see the same words."""
    grammar = [[word.text for word in command.words] for command in scene.shells[0].commands]
    home = scene.place.home
    strict = [[home + word.text[1:] if word.home else word.text for word in command.words] for command in commands]
    return grammar == strict and not any(command.assignments for command in scene.shells[0].commands)
