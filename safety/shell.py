"""The risk of a shell command: auto, ask or deny, with the reason. What is not understood is asked about.

The parse is comfort; the OS sandbox is the wall.
"""

from dataclasses import dataclass
from typing import Literal

from safety.shell_denied import denial
from safety.shell_exfiltration import outward_reason
from safety.shell_invocations import Scene, scene_of
from safety.shell_paths import Place
from safety.shell_reading import judge_reading
from safety.shell_sandboxed import judge_sandboxed
from safety.shell_tree import PLAIN_KINDS
from safety.shell_words import NotPlain, PlainCommand, plain_commands
from safety.visible import has_hidden

LONGEST_COMMAND = 100_000
"""Characters; the kernel takes no argument over 131,072 bytes, so a longer command could not be started anyway."""

RiskKind = Literal["auto", "ask", "deny"]


@dataclass(frozen=True)
class Risk:
    """How a command is to be treated, and why."""

    kind: RiskKind
    why: str
    outward: str = ""
    """How it sends or publishes something, or ""."""


def classify(command: str, place: Place, *, sandboxed: bool = False) -> Risk:
    """Judge one command line of bash.

    auto: it only reads inside the workspace; in the sandbox it may also run the project's code and write there.
    deny: one of the few things that are refused in every mode. ask: everything else.
    """
    if "\0" in command:
        return Risk("deny", "it holds a NUL byte")
    if len(command) > LONGEST_COMMAND:
        return Risk("deny", f"it is longer than {LONGEST_COMMAND:,} characters; put it into a script file")
    if not command.strip():
        return Risk("ask", "it is empty")
    scene = scene_of(command, place)
    if reason := denial(scene):
        return Risk("deny", reason)
    if has_hidden(command.replace("\r\n", "\n")):
        return Risk("ask", "it holds hidden characters", outward_reason(scene))
    against = _against_reading(command, scene)
    if against and sandboxed:
        against = judge_sandboxed(scene)
        return Risk("ask", against, outward_reason(scene)) if against else Risk("auto", "the sandbox holds it")
    return (
        Risk("ask", against, outward_reason(scene)) if against else Risk("auto", "it only reads inside the workspace")
    )


def _against_reading(command: str, scene: Scene) -> str:
    shell = scene.shells[0]
    if shell.has_error:
        return "it cannot be parsed"
    if not shell.kinds <= PLAIN_KINDS:
        return f"it uses {', '.join(sorted(shell.kinds - PLAIN_KINDS))}".replace("_", " ")
    try:
        commands = plain_commands(command)
    except NotPlain as reason:
        return f"it uses {reason}"
    if not _same_reading(commands, scene):
        return "two readings of it differ"
    return judge_reading(commands, scene.place)


def _same_reading(commands: list[PlainCommand], scene: Scene) -> bool:
    """The grammar and the strict reader see the same words."""
    grammar = [[word.text for word in command.words] for command in scene.shells[0].commands]
    home = scene.place.home
    strict = [[home + word.text[1:] if word.home else word.text for word in command.words] for command in commands]
    return grammar == strict and not any(command.assignments for command in scene.shells[0].commands)
