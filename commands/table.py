"""COMMANDS: every subcommand and where it lives. Nothing is imported until its command is called."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Command:
    """A subcommand: one function, or actions named by a second word. Targets are `module:function`."""

    name: str
    summary: str
    target: str = ""
    actions: Mapping[str, str] = field(default_factory=dict[str, str])
    usage: str = ""


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("demo", "a real run without a key: scripted model, real tools, real training", "setup.demo:demo"),
        Command(
            "threads",
            "list, show, undo, fork, export, import, replay, delete and prune threads",
            actions={
                "list": "threads.listing:list_threads",
                "show": "threads.listing:show_thread",
                "rename": "threads.move:rename",
                "fork": "threads.move:fork",
                "undo": "threads.move:undo",
                "redo": "threads.move:redo",
                "export": "threads.export:export",
                "import": "threads.export:import_",
                "replay": "threads.replay:replay",
                "delete": "threads.move:delete",
                "prune": "threads.prune:prune",
            },
        ),
        Command(
            "jobs",
            "background runs and jobs of all threads: list, follow logs, wait, cancel, plot metrics",
            actions={
                "list": "jobs.jobs:list_jobs",
                "logs": "jobs.follow:logs",
                "wait": "jobs.follow:wait",
                "cancel": "jobs.jobs:cancel",
                "plot": "jobs.plot:plot",
            },
        ),
        Command(
            "config",
            "the settings in force and where each comes from; the settings files; their errors",
            actions={
                "show": "config:show_settings",
                "path": "config:show_paths",
                "check": "config:check_settings",
            },
        ),
        Command(
            "approve",
            "show a thread's pending approvals, or answer them and continue",
            "approve:approve",
            usage='THREAD [--all] [--id ID] [--reject ID "REASON"]',
        ),
        Command(
            "permissions",
            "the rules in force, what they decide for a command, saved answers",
            actions={
                "list": "permissions:list_rules",
                "test": "permissions:judge",
                "remove": "permissions:remove",
            },
        ),
        Command(
            "mcp",
            "MCP servers: list, add, remove, test; serve ml-intern's tools to other agents",
            actions={
                "list": "mcp:list_servers",
                "add": "mcp:add_server",
                "remove": "mcp:remove_server",
                "test": "mcp:check_servers",
                "serve": "mcp:serve",
            },
        ),
        Command(
            "runs",
            "the experiments of all threads: what was tried, side by side, and the best by a metric",
            actions={
                "list": "jobs.runs:list_runs",
                "compare": "jobs.runs:compare",
                "best": "jobs.runs:best",
            },
        ),
        Command("sandbox", "run a command inside the agent's sandbox", "sandbox:sandbox", usage="-- COMMAND"),
        Command(
            "models",
            "list providers and available models, or show details of one",
            "models:show_models",
            usage="[--available] [ID]",
        ),
        Command("tools", "the tools the model is given", "tools:list_tools"),
        Command("doctor", "versions, folders, keys by name, programs; --probe asks the model", "doctor:doctor"),
        Command("studio", "a local server for LangGraph Studio on your threads (extra [studio])", "studio:studio"),
        Command("completion", "a completion script", "completion:completion", usage="bash|zsh|fish"),
    )
}


def commands_table() -> str:
    """Return the table of subcommands for the reference, in Markdown."""
    rows = []
    for command in COMMANDS.values():
        words = " ".join(filter(None, [command.name, "|".join(command.actions), command.usage])).replace("|", "\\|")
        rows.append(f"| `{words}` | {command.summary} |")
    return "\n".join(["| command | meaning |", "|---|---|", *rows])


def commands_help(group: Command | None = None) -> str:
    """The subcommands as the help shows them, or the actions of one group."""
    if group:
        words = " | ".join(group.actions)
        return f"Usage: ml-intern {group.name} {words} [OPTIONS]\n\n  {group.summary}. Each has its own --help."
    width = max(len(command.name) for command in COMMANDS.values()) + 2
    lines = [f"  {command.name:{width}}{command.summary}" for command in COMMANDS.values()]
    return "\n".join(["Subcommands (each has its own --help):", *lines])
