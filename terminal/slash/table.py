"""The table of slash commands. Help, completion and the reference come from it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from ml_intern.graph.limits import EFFORTS
from ml_intern.terminal.slash import actions
from ml_intern.terminal.slash.copy import copy
from ml_intern.terminal.slash.export import export
from ml_intern.terminal.slash.improve import WORDS, improve
from ml_intern.terminal.slash.memory import memory
from ml_intern.terminal.slash.permissions import permissions
from ml_intern.terminal.slash.rewind import redo, undo
from ml_intern.terminal.slash.runs import jobs
from ml_intern.terminal.slash.share import CHOICES, share_traces

if TYPE_CHECKING:
    from ml_intern.terminal.slash.host import Host


@dataclass(frozen=True)
class SlashCommand:
    """A slash command: its names, usage, help and function."""

    names: tuple[str, ...]
    usage: str
    help: str
    run: "Callable[[Host, str], Awaitable[None]]"
    values: tuple[str, ...] = ()
    """The arguments that completion offers."""
    immediate: bool = False
    """Whether it acts during a turn, instead of waiting for its end."""

    @property
    def name(self) -> str:
        """Its first name."""
        return self.names[0]


async def show_help(host: "Host", _: str) -> None:
    """Show the commands and keys."""
    for line in help_lines(get_terminal_size().columns):
        host.screen.line(line)


SLASH_COMMANDS: tuple[SlashCommand, ...] = (
    SlashCommand(("/help",), "", "list the commands", show_help),
    SlashCommand(("/new",), "", "start a new thread", actions.new),
    SlashCommand(("/clear",), "", "start a new thread on an empty screen", actions.clear),
    SlashCommand(
        ("/goal",), "[CONDITION|off]", "continue each turn until a condition holds; without one, show it", actions.goal
    ),
    SlashCommand(
        ("/undo",),
        "[N] [conversation|files] [--all-files]",
        "choose a turn to return to, or undo the last N and their files; --all-files includes those you changed",
        undo,
        ("conversation", "files", "--all-files"),
    ),
    SlashCommand(
        ("/redo",),
        "[conversation|files] [--all-files]",
        "restore what the last undo removed",
        redo,
        ("conversation", "files", "--all-files"),
    ),
    SlashCommand(("/fork",), "[TURN]", "continue in a copy of the thread, up to a turn", actions.fork),
    SlashCommand(
        ("/resume",), "[THREAD]", "continue another thread; without THREAD, choose from a list", actions.resume
    ),
    SlashCommand(("/rename",), "TITLE", "give the thread a title", actions.rename),
    SlashCommand(("/memory",), "[forget N]", "show what was learned about this folder, or forget a fact", memory),
    SlashCommand(
        ("/improve",),
        '["WHAT" --metric "max NAME" --eval COMMAND|pause|continue|finish|stop]',
        "show the latest search of the folder for a better metric; start, pause or end one",
        improve,
        tuple(WORDS),
    ),
    SlashCommand(("/compact",), "[WHAT TO KEEP]", "shorten the conversation", actions.compact),
    SlashCommand(("/model",), "[ID]", "show or change the model", actions.model),
    SlashCommand(
        ("/effort",),
        "[LEVEL]",
        "show or change the reasoning effort; off: send none",
        actions.effort,
        EFFORTS,
    ),
    SlashCommand(
        ("/plan",),
        "[on|off|accept]",
        "show the plan; on: read-only until you accept the plan or turn the mode off",
        actions.plan,
        ("on", "off", "accept"),
    ),
    SlashCommand(("/cost", "/usage", "/tokens", "/context"), "", "show what the thread has used so far", actions.cost),
    SlashCommand(("/tools",), "", "list the tools of the model", actions.tools),
    SlashCommand(("/mcp",), "", "list the MCP servers, their status and tools", actions.mcp),
    SlashCommand(
        ("/jobs",),
        "[logs ID|stop ID]",
        "list the thread's background runs; show the end of a log; stop a run",
        jobs,
        ("logs", "stop"),
    ),
    SlashCommand(
        ("/permissions",),
        "[test COMMAND|remove N]",
        "list the rules in force; test a command; remove a saved answer",
        permissions,
        ("test", "remove"),
    ),
    SlashCommand(
        ("/mode",),
        "[MODE]",
        "show or change the approval mode; during a turn it applies from the next call on",
        actions.mode,
        tuple(actions.MODES),
        immediate=True,
    ),
    SlashCommand(("/yolo",), "", "turn approval questions off, or on again", actions.yolo),
    SlashCommand(
        ("/now",),
        "[MESSAGE]",
        "send a message, or the next one that waits, to the running turn before its next model call",
        actions.now,
        immediate=True,
    ),
    SlashCommand(("/outputs",), "", "choose a call of the thread and show its whole output", actions.outputs),
    SlashCommand(("/status",), "", "show thread, folder, model and mode", actions.status),
    SlashCommand(("/export",), "[FILE]", "write the conversation to a new .md, .html, .json or .jsonl file", export),
    SlashCommand(
        ("/copy",),
        "[code|N]",
        "copy the last answer to the clipboard; code: its last code block, N: that one",
        copy,
        ("code",),
    ),
    SlashCommand(
        ("/share-traces",),
        "[public|private|off]",
        "save threads as traces in your dataset on the Hub, or stop",
        share_traces,
        CHOICES,
    ),
    SlashCommand(("/doctor",), "", "show versions, folders, programs, and which API keys are set", actions.doctor),
    SlashCommand(
        ("/exit", "/quit"), "", "quit, as the words exit and quit do; the thread can be resumed", actions.leave
    ),
)

LEAVING = ("exit", "quit")
"""Words that leave as a message of their own, without the slash."""
ALIKE = 0.75
"""The similarity from which a command is suggested in place of an unknown one."""

BY_NAME: dict[str, SlashCommand] = {name: command for command in SLASH_COMMANDS for name in command.names}


def find_command(line: str) -> tuple[SlashCommand | None, str, str]:
    """Return the command of a line, its argument, and its name as typed, of which the beginning is enough.

    The command is None if the name is unknown. The name is "" if the line is a message, also one that begins with a
    path such as /etc/hosts.
    """
    name, _, argument = line.strip().partition(" ")
    if not line.startswith("/") or "/" in name[1:] or "\n" in name:
        return None, "", ""
    return _named(name.lower()), argument.strip(), name


def _named(name: str) -> SlashCommand | None:
    """Return the command with this name, or the only one whose name begins so; None for less than two letters."""
    begun = {command.name: command for known, command in BY_NAME.items() if known.startswith(name)}
    return BY_NAME.get(name) or (next(iter(begun.values())) if len(begun) == 1 and len(name) > 2 else None)


def nearest(name: str) -> str:
    """Return the command with the most similar name, or ""."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name.lower(), BY_NAME, n=1, cutoff=ALIKE)), "")


def help_lines(width: int = 1_000) -> list[str]:
    """Return the commands and keys as /help shows them on a terminal of this width."""
    rows = [(f"{', '.join(command.names)} {command.usage}".strip(), command.help) for command in SLASH_COMMANDS]
    column = min(max(len(written) for written, _ in rows) + 2, width // 3)
    return [*(line for row in rows for line in _help_entry(*row, column, width)), "", *KEYS]


def _help_entry(written: str, meaning: str, column: int, width: int) -> list[str]:
    """Return a command and its meaning in two columns; a long command has a line of its own."""
    from textwrap import wrap

    below = [f"{'':{column}}{line}" for line in wrap(meaning, max(width - column - 1, 20))]
    if len(written) > column - 2:
        return [written, *below]
    return [f"{written:{column}}{below[0].strip()}", *below[1:]]


KEYS = (
    "@path mentions a file, !cmd runs a command. The beginning of a command's name is enough: /he.",
    "Enter during a turn queues the message; up-arrow edits it, Ctrl-S sends it now. Ctrl-J starts a new line.",
    "Esc interrupts the turn; Esc Esc undoes turns. Ctrl-C clears the line; pressed again it quits. Ctrl-D quits.",
    "Ctrl-R lists earlier messages, Ctrl-O whole outputs. Shift-Tab changes the approval mode.",
    "Ctrl-T folds the plan, Ctrl-G shows the reasoning while it streams.",
    "Ctrl-L prints the last rows again. Ctrl-Z stops ml-intern until `fg`.",
)


def slash_table() -> str:
    """Return the table of slash commands for the reference, in Markdown."""
    rows = []
    for command in SLASH_COMMANDS:
        written = f"{command.name} {command.usage}".strip().replace("|", "\\|")
        also = f" (also {', '.join(f'`{name}`' for name in command.names[1:])})" if command.names[1:] else ""
        rows.append(f"| `{written}` | {command.help}{also} |")
    return "\n".join(["| command | meaning |", "|---|---|", *rows])
