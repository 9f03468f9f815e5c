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
        Command("demo", "a real run without a key: scripted model, real tools, real training", "commands.demo:demo"),
        Command(
            "threads",
            "list and show threads, move in them, export, import, replay, delete and prune them",
            actions={
                "list": "commands.threads:list_threads",
                "show": "commands.threads:show_thread",
                "rename": "commands.threads_move:rename",
                "fork": "commands.threads_move:fork",
                "undo": "commands.threads_move:undo",
                "redo": "commands.threads_move:redo",
                "export": "commands.threads_export:export",
                "import": "commands.threads_export:import_",
                "replay": "commands.threads_replay:replay",
                "delete": "commands.threads_move:delete",
                "prune": "commands.threads_prune:prune",
            },
        ),
        Command(
            "jobs",
            "background runs and jobs of all threads: list them, follow their logs, wait, stop, draw their metrics",
            actions={
                "list": "commands.jobs:list_jobs",
                "logs": "commands.jobs_follow:logs",
                "wait": "commands.jobs_follow:wait",
                "cancel": "commands.jobs:cancel",
                "plot": "commands.jobs_plot:plot",
            },
        ),
        Command(
            "config",
            "the settings in force and where each comes from; the files; their faults",
            actions={
                "show": "commands.config:show_settings",
                "path": "commands.config:show_paths",
                "check": "commands.config:check_settings",
            },
        ),
        Command(
            "approve",
            "answer what a thread waits for and go on with it; without an answer, show it",
            "commands.approve:approve",
            usage='THREAD [--all] [--id ID] [--reject ID "REASON"]',
        ),
        Command(
            "permissions",
            "the rules in force, what they say to a command, the kept answers",
            actions={
                "list": "commands.permissions:list_rules",
                "test": "commands.permissions:judge",
                "remove": "commands.permissions:remove",
            },
        ),
        Command(
            "mcp",
            "servers of tools: which there are, add, remove, try them; serve ours to other agents",
            actions={
                "list": "commands.mcp:list_servers",
                "add": "commands.mcp:add_server",
                "remove": "commands.mcp:remove_server",
                "test": "commands.mcp:check_servers",
                "serve": "commands.mcp:serve",
            },
        ),
        Command(
            "runs",
            "the experiments of all threads: what was tried, side by side, and the best by a metric",
            actions={
                "list": "commands.runs:list_runs",
                "compare": "commands.runs:compare",
                "best": "commands.runs:best",
            },
        ),
        Command("sandbox", "one command behind the agent's own wall", "commands.sandbox:sandbox", usage="-- COMMAND"),
        Command(
            "models",
            "the ways to a model, what can be called now, and what is known of one",
            "commands.models:show_models",
            usage="[--available] [ID]",
        ),
        Command("tools", "the tools the model is given", "commands.tools:list_tools"),
        Command(
            "doctor", "versions, folders, keys by name, programs; --probe asks the model", "commands.doctor:doctor"
        ),
        Command(
            "studio", "a local server for LangGraph Studio on your threads (extra [studio])", "commands.studio:studio"
        ),
        Command("completion", "a completion script", "commands.completion:completion", usage="bash|zsh|fish"),
    )
}


def commands_table() -> str:
    """The README's table of subcommands, in markdown."""
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
