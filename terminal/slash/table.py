"""The table of slash commands. Help, completion and the reference come from it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_intern.graph.limits import EFFORTS
from ml_intern.terminal.slash import actions
from ml_intern.terminal.slash.export import export
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

    @property
    def name(self) -> str:
        """Its first name."""
        return self.names[0]


async def show_help(host: "Host", _: str) -> None:
    """Show the commands and keys."""
    for line in help_lines():
        host.screen.line(line)


SLASH_COMMANDS: tuple[SlashCommand, ...] = (
    SlashCommand(("/help",), "", "list the commands", show_help),
    SlashCommand(("/new",), "", "start a new thread", actions.new),
    SlashCommand(("/clear",), "", "start a new thread on an empty screen", actions.clear),
    SlashCommand(
        ("/undo",),
        "[N] [conversation|files] [--all-files]",
        "undo the last turn, or the last N, and the files they changed; --all-files includes those you changed",
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
    SlashCommand(("/yolo",), "", "turn approval questions off, or on again", actions.yolo),
    SlashCommand(("/status",), "", "show thread, folder, model and mode", actions.status),
    SlashCommand(("/export",), "[FILE]", "write the conversation to a new .md, .html, .json or .jsonl file", export),
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

BY_NAME: dict[str, SlashCommand] = {name: command for command in SLASH_COMMANDS for name in command.names}


def find_command(line: str) -> tuple[SlashCommand | None, str, str]:
    """Return the command of a line, its argument, and its name as typed.

    The command is None if the name is unknown. The name is "" if the line is a message, also one that begins with a
    path such as /etc/hosts.
    """
    name, _, argument = line.strip().partition(" ")
    if not line.startswith("/") or "/" in name[1:] or "\n" in name:
        return None, "", ""
    return BY_NAME.get(name.lower()), argument.strip(), name


def nearest(name: str) -> str:
    """Return the command with the most similar name, or ""."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name.lower(), BY_NAME, n=1)), "")


def help_lines() -> list[str]:
    """Return the commands and keys as /help shows them."""
    rows = [(f"{', '.join(command.names)} {command.usage}".strip(), command.help) for command in SLASH_COMMANDS]
    width = max(len(written) for written, _ in rows) + 2
    return [*(f"{written:{width}}{meaning}" for written, meaning in rows), "", *KEYS]


KEYS = (
    "@path mentions a file, !cmd runs a command.",
    "Ctrl-J starts a new line. Ctrl-C interrupts the turn; pressed twice it quits. Ctrl-D quits. Esc Esc undoes turns.",
)


def slash_table() -> str:
    """Return the table of slash commands for the reference, in Markdown."""
    rows = []
    for command in SLASH_COMMANDS:
        written = f"{command.name} {command.usage}".strip().replace("|", "\\|")
        also = f" (also {', '.join(f'`{name}`' for name in command.names[1:])})" if command.names[1:] else ""
        rows.append(f"| `{written}` | {command.help}{also} |")
    return "\n".join(["| command | meaning |", "|---|---|", *rows])
