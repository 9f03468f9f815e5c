"""`mcp list`, `add`, `remove`, `test`: the MCP servers of the settings. `mcp serve`: ml-intern's tools for others."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_intern.commands.options import SETTINGS_OPTIONS, Options, takes_options
from ml_intern.commands.output import Json, columns, print_json, print_lines
from ml_intern.configs.errors import UsageError
from ml_intern.configs.layers import Loaded
from ml_intern.graph.limits import HEADLESS_BUDGET_USD
from ml_intern.models.secrets import register_secrets
from ml_intern.session.opening.options import load_settings, run_folders, working_folder
from ml_intern.session.opening.store import open_store
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from ml_intern.configs.mcp_servers import McpServer
    from ml_intern.execution.tool import ServerState
    from ml_intern.graph.context import RunOptions
    from ml_intern.tools.mcp.servers import Servers

Name = Annotated[str, typer.Argument(metavar="NAME", help="the server's name")]
Pairs = list[str]


@takes_options(*SETTINGS_OPTIONS)
def list_servers(options: Options, json: Json = False) -> int:
    """List the servers in the settings and which are off. None is started; `mcp test` connects to them."""
    from ml_intern.configs.paths import data_home
    from ml_intern.tools.mcp.servers import Servers

    loaded = _loaded(options)
    servers = Servers(loaded.settings.mcpServers, data_home())
    rows = [_listed(name, server, servers, loaded) for name, server in loaded.settings.mcpServers.items()]
    if json:
        return print_json(rows)
    table = [(row["name"], row["status"], row["where"], row["from"]) for row in rows]
    return print_lines(columns([("NAME", "", "WHERE", "FROM"), *table]))


def _listed(name: str, server: "McpServer", servers: "Servers", loaded: Loaded) -> dict[str, Any]:
    why = servers.off.get(name, "")
    sources = loaded.sources
    source = next(
        (sources[path] for part in ("url", "command") if (path := f"mcpServers.{name}.{part}") in sources), ""
    )
    return {
        "name": name,
        "status": f"off: {why}" if why else "on",
        "where": _where(server),
        "headers": sorted(server.headers),
        "env": sorted(server.env),
        "from": source,
    }


def _where(server: "McpServer") -> str:
    from ml_intern.safety.secrets.redaction import redact

    return redact(server.url.partition("?")[0] if server.url else " ".join([server.command or "", *server.args]))


@takes_options(*SETTINGS_OPTIONS)
def check_servers(
    options: Options,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="the server to test (default: all that are on)")
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="accept changed tool descriptions")] = False,
    json: Json = False,
) -> int:
    """Connect to servers and list their tools. Exits with 1 if a server does not answer."""
    wanted = _loaded(options).settings.mcpServers
    if name is not None and name not in wanted:
        raise UsageError(f"there is no MCP server {name!r}", "`ml-intern mcp list` lists them")
    chosen = {one: server for one, server in wanted.items() if name in (None, one)}
    states, descriptions = asyncio.run(_connected(chosen, accept=accept))
    failed = [state for state in states if state.status == "failed" or (name and state.status == "off")]
    if json:
        print_json([{**asdict(state), "where": _where(chosen[state.name])} for state in states])
    else:
        print_lines(line for state in states for line in _state_lines(state, descriptions))
    return 1 if failed else 0


async def _connected(wanted: "dict[str, McpServer]", *, accept: bool) -> "tuple[list[ServerState], dict[str, str]]":
    from ml_intern.tools.mcp.servers import open_servers
    from ml_intern.tools.registry import create_builtin_tools

    async with open_store() as store, open_servers(wanted, store.home, create_builtin_tools()) as (servers, _):
        await servers.settled()
        for name in wanted if accept else ():
            await servers.accept(name)
        descriptions = {name: spec.description.strip().partition("\n")[0] for name, spec in servers.specs.items()}
        return servers.states(), descriptions


def _state_lines(state: "ServerState", descriptions: dict[str, str]) -> list[str]:
    count = f", {plural(len(state.tools), 'tool')}" if state.status == "ready" else ""
    head = f"{state.name}: {state.status}{count}{f' ({state.why})' if state.why else ''}"
    return [head, *(f"  {tool}{_mark(tool, state)}  {descriptions.get(tool, '')[:120]}" for tool in state.tools)]


def _mark(tool: str, state: "ServerState") -> str:
    return "  CHANGED since you accepted it (--accept accepts it again):" if tool in state.changed else ""


def add_server(
    name: Name,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND ...]", help="the command that starts the server")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="the server's address, instead of a command")
    ] = None,
    header: Annotated[Pairs | None, typer.Option("--header", metavar="'NAME: VALUE'", help="repeatable")] = None,
    env: Annotated[Pairs | None, typer.Option("--env", metavar="NAME=VALUE", help="repeatable")] = None,
) -> int:
    """Add a server to the user's settings. Write secrets as ${NAME}: the variable is read when the server is used."""
    from ml_intern.configs.user_files import change_user_settings

    entry = _entry(name, command or [], url, _pairs(header or [], ":"), _pairs(env or [], "="))
    path = change_user_settings(lambda values: values.setdefault("mcpServers", {}).update({name: entry}))
    _forget_pins(name)
    return print_lines([f"added {name} to {path}; test it with: ml-intern mcp test {name}"])


def _entry(
    name: str, command: Sequence[str], url: str | None, headers: dict[str, str], env: dict[str, str]
) -> dict[str, Any]:
    """Build the entry for the settings file. Raises UsageError when it does not describe a server."""
    from pydantic import ValidationError

    from ml_intern.configs.mcp_servers import McpServer, check_names

    by_url = {"transport": "http", "url": url, "headers": headers} if url else {}
    by_command = {"transport": "stdio", "command": command[0], "args": list(command[1:]), "env": env} if command else {}
    if bool(by_url) == bool(by_command):
        raise UsageError(
            "a server needs either a command or a URL",
            "use mcp add NAME -- COMMAND ..., or mcp add NAME --url URL",
        )
    entry = {key: value for key, value in (by_url | by_command).items() if value}
    try:
        check_names({name: McpServer.model_validate(entry)})
    except ValidationError as error:
        raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    return entry


def _pairs(given: Sequence[str], mark: str) -> dict[str, str]:
    found = {}
    for text in given:
        key, at, value = text.partition(mark)
        if not at or not key.strip():
            raise UsageError(f"{text!r} is not of the form NAME{mark}VALUE")
        found[key.strip()] = value.strip()
    return found


def remove_server(name: Name) -> int:
    """Remove a server from the user's settings. A server that ships with ml-intern is turned off there instead."""
    from ml_intern.configs.layers import SHIPPED
    from ml_intern.configs.user_files import change_user_settings

    removed: list[str] = []

    def change(values: dict[str, Any]) -> None:
        servers = values.setdefault("mcpServers", {})
        if servers.pop(name, None) is not None:
            removed.append("removed from")
        if f'"{name}"' in SHIPPED.read_text(encoding="utf-8"):
            servers[name] = {"enabled": False}
            removed[:] = ["turned off in"]
        if not removed:
            raise UsageError(
                f"there is no MCP server {name!r} in your settings",
                "`ml-intern mcp list` shows where each server is configured",
            )

    path = change_user_settings(change)
    _forget_pins(name)
    return print_lines([f"{name} is {removed[0]} {path}"])


def _forget_pins(name: str) -> None:
    from ml_intern.configs.paths import data_home
    from ml_intern.tools.mcp.pins import Pins

    Pins(data_home()).forget(name)


@takes_options(*SETTINGS_OPTIONS, "approval_mode", "max_budget_usd", "add_dir")
def serve(options: Options) -> int:
    """Serve the research, dataset and job tools to another agent over stdin and stdout until stdin ends."""
    from ml_intern.session.opening.options import from_settings

    folder = working_folder(options.request())
    cap = options.max_budget_usd
    run_options = replace(
        from_settings(_loaded(options).settings, folder),
        model="",
        headless=True,
        approval_mode=options.approval_mode or "auto",
        max_budget_usd=HEADLESS_BUDGET_USD if cap is None else cap,
        add_dirs=run_folders(options.request()),
    )
    return asyncio.run(_serve(run_options))


async def _serve(run_options: "RunOptions") -> int:
    from ml_intern.server.mcp import SERVED, serve_tools
    from ml_intern.session.tool_calls import open_tool_caller

    async with open_tool_caller(run_options, SERVED) as caller:
        await serve_tools(caller)
    return 0


def _loaded(options: Options) -> Loaded:
    loaded = load_settings(options.request(), working_folder(options.request()))
    register_secrets()
    return loaded
