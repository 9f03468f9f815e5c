"""COMMANDS: every subcommand and the function that runs it. A module is imported only when its command is called."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Command:
    """A subcommand: one function, actions named by a second word, or both. Targets are `module:function`."""

    name: str
    summary: str
    target: str = ""
    actions: Mapping[str, str] = field(default_factory=dict[str, str])
    usage: str = ""


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("demo", "run real tools and real training with a scripted model; no API key needed", "setup.demo:demo"),
        Command(
            "threads",
            "list, show, rename, fork, undo, redo, export, import, replay, move, share, delete and prune threads",
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
                "move": "threads.moving:move",
                "share": "threads.sharing:share",
                "delete": "threads.move:delete",
                "prune": "threads.prune:prune",
            },
        ),
        Command(
            "jobs",
            "list background runs and jobs, show their logs, wait for them, cancel them, plot their metrics",
            actions={
                "list": "jobs.jobs:list_jobs",
                "logs": "jobs.follow:logs",
                "wait": "jobs.follow:wait",
                "cancel": "jobs.jobs:cancel",
                "plot": "jobs.plot:plot",
            },
        ),
        Command(
            "compute",
            "list, add, remove and test your own machines and clusters for runs",
            actions={
                "list": "jobs.compute:list_targets",
                "add": "jobs.compute:add_target",
                "remove": "jobs.compute:remove_target",
                "test": "jobs.compute:check_target",
            },
        ),
        Command(
            "config",
            "show the settings in effect and their sources, list the files, check the files for errors",
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
            usage='THREAD [--all] [--id ID[=ARGS]] [--reject ID "REASON"]',
        ),
        Command(
            "permissions",
            "list the permission rules and saved answers, test a command against them, remove an answer",
            actions={
                "list": "permissions:list_rules",
                "test": "permissions:judge",
                "remove": "permissions:remove",
            },
        ),
        Command(
            "mcp",
            "list, add, remove and test MCP servers; serve ml-intern's tools to other agents",
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
            "list experiments, compare them, rank them by a metric",
            actions={
                "list": "jobs.runs:list_runs",
                "compare": "jobs.runs:compare",
                "best": "jobs.runs:best",
            },
        ),
        Command(
            "evidence",
            "show the evidence of a thread, or check the statement beside an artifact",
            "threads.evidence:evidence",
            usage="THREAD | check FILE",
        ),
        Command(
            "memory",
            "list, edit and forget what was learned about this folder",
            actions={
                "list": "threads.memory:list_facts",
                "edit": "threads.memory:edit_facts",
                "forget": "threads.memory:forget_fact",
            },
        ),
        Command(
            "improve",
            "search for a better value of a metric: attempts in worktrees, kept only when the evidence says better",
            "improve.start:improve",
            actions={
                "resume": "improve.start:resume",
                "status": "improve.shown:status",
                "tree": "improve.shown:tree",
                "best": "improve.shown:best",
                "diff": "improve.shown:diff",
                "report": "improve.shown:report",
                "pause": "improve.control:pause",
                "continue": "improve.control:continue_",
                "finish": "improve.control:finish",
                "stop": "improve.control:stop",
                "set": "improve.control:set_limits",
                "apply": "improve.apply:apply",
                "undo": "improve.apply:undo",
            },
            usage='["WHAT TO TRY"] --metric "max NAME" --eval COMMAND',
        ),
        Command("sandbox", "run a command inside the agent's sandbox", "sandbox:sandbox", usage="-- COMMAND"),
        Command(
            "models",
            "list providers and available models, or show details of one",
            "models:show_models",
            usage="[--available] [ID]",
        ),
        Command(
            "trust",
            "trust a folder's settings, MCP servers, AGENTS.md and skills; list trusted folders",
            "setup.trust:trust",
            usage="[DIR] [--revoke] [--list]",
        ),
        Command("tools", "list the tools the model can call", "tools:list_tools"),
        Command(
            "doctor",
            "show versions, programs, folders and API keys; --probe tests the model, --repair repairs the database",
            "doctor:doctor",
        ),
        Command("backup", "copy the thread database", "setup.backup:backup", usage="[FILE]"),
        Command(
            "restore",
            "list the backups of the thread database, or replace the database by one",
            "setup.backup:restore",
            usage="[FILE|latest]",
        ),
        Command(
            "session",
            "open a session for another program: operations and events as JSON lines",
            "running.session:session",
            usage="--json|--schema",
        ),
        Command(
            "acp", "serve an editor that speaks the Agent Client Protocol, such as Zed (extra [acp])", "serving.acp:acp"
        ),
        Command("web", "serve a web page with your threads: watch, write, approve, from a browser", "serving.web:web"),
        Command("serve", "serve the threads of a PostgreSQL database to browsers", "serving.serve:serve"),
        Command("worker", "run the threads of a PostgreSQL database", "serving.serve:worker"),
        Command(
            "server",
            "add and remove users of a team's server, their tokens and keys, set budgets, show who did what",
            actions={
                "users": "server.people:users",
                "tokens": "server.people:tokens",
                "keys": "server.keys:keys",
                "budgets": "server.budgets:budgets",
                "audit": "server.budgets:audit",
            },
        ),
        Command(
            "login",
            "log in to a server of ml-intern, so that --server NAME uses its threads; list and remove servers",
            "serving.login:login",
            usage="URL | --list | --remove NAME",
        ),
        Command(
            "studio",
            "serve your threads to LangGraph Studio from this machine (extra [studio])",
            "serving.studio:studio",
        ),
        Command(
            "schedule",
            "start threads by themselves at regular times: add, list and remove schedules, run them",
            actions={
                "add": "schedule.schedule:add",
                "list": "schedule.schedule:list_schedules",
                "remove": "schedule.schedule:remove",
                "run": "schedule.schedule:run",
            },
        ),
        Command("completion", "print a shell completion script", "completion:completion", usage="bash|zsh|fish"),
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
    """Return the list of subcommands for the help, or the actions of one group."""
    if group:
        words = " | ".join(group.actions)
        summary = group.summary[:1].upper() + group.summary[1:]
        return f"Usage: ml-intern {group.name} {words} [OPTIONS]\n\n  {summary}. Each has its own --help."
    width = max(len(command.name) for command in COMMANDS.values()) + 2
    lines = [f"  {command.name:{width}}{command.summary}" for command in COMMANDS.values()]
    return "\n".join(["Subcommands (each has its own --help):", *lines])
