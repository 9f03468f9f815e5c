"""The functions of most slash commands. Each takes the host and the text after the command's name."""

from shutil import get_terminal_size
from typing import TYPE_CHECKING, cast

from ml_intern.graph import operations as ops
from ml_intern.graph.limits import EFFORTS
from ml_intern.terminal.browse import read_outputs
from ml_intern.terminal.picker import pick_thread
from ml_intern.terminal.render.columns import item_lines
from ml_intern.terminal.render.summary import SPENDING_DROP, plan_lines, spending_rows
from ml_intern.text.formatting import plural, spent

if TYPE_CHECKING:
    from ml_intern.graph.limits import ApprovalMode
    from ml_intern.terminal.slash.host import Host

ACCEPTED = "I accept the plan. Carry it out."
LISTED_THREADS = 100
MODEL_DEFAULT = "the model's default"
MODES = {
    "yolo": "you are not asked, and only deny rules apply (/yolo turns the questions on again)",
    "ask": "you are asked before calls that can change something",
    "accept-edits": "files of the workspace are changed without asking; you are asked about everything else",
    "plan": "read-only tools; /plan accept carries out the plan, /plan off ends plan mode",
    "auto": "you are not asked; calls that need an approval are refused",
}
"""The effect of each approval mode."""


async def new(host: "Host", _: str) -> None:
    """Start a new thread."""
    await host.perform(ops.New())
    host.screen.line("new thread", "dim")


async def clear(host: "Host", _: str) -> None:
    """Clear the screen and start a new thread."""
    host.clear_view()
    await new(host, "")


async def fork(host: "Host", argument: str) -> None:
    """Continue in a copy of the thread."""
    if argument and not argument.isdecimal():
        host.screen.line("usage: /fork [TURN], where TURN is a number", "failure")
        return
    await host.perform(ops.Fork(int(argument) if argument else None))


async def resume(host: "Host", argument: str) -> None:
    """Continue another thread."""
    thread = argument or await _chosen(host)
    if thread:
        await host.perform(ops.Resume(thread))


async def _chosen(host: "Host") -> str | None:
    threads = host.session.all_threads()
    rows = await threads.list(host.options.workspace, LISTED_THREADS)
    return await pick_thread(host.console, threads, rows)


async def rename(host: "Host", argument: str) -> None:
    """Give the thread a title."""
    if not argument:
        host.screen.line("usage: /rename TITLE", "failure")
        return
    await host.perform(ops.Rename(argument))
    host.screen.line(f"the thread is now called {argument!r}", "dim")


async def goal(host: "Host", argument: str) -> None:
    """Give the thread a goal, show it, or remove it with off."""
    if argument:
        await host.perform(ops.SetGoal("" if argument == "off" else argument))
    current = host.options.goal
    host.screen.line(f"goal: {current}" if current else "no goal", "dim")


async def compact(host: "Host", argument: str) -> None:
    """Shorten the conversation."""
    await host.perform(ops.Compact(argument))
    if (end := host.session.end) is not None and end.status == "done" and end.text:
        host.screen.line(end.text, "dim")


async def model(host: "Host", argument: str) -> None:
    """Show or change the model."""
    if argument:
        await host.perform(ops.SetModel(argument))
    known = host.session.model()
    limits = [f"context window of {known.window:,} tokens"] if known.window else []
    limits += ["no images"] * (known.images is False) + ["no reasoning effort"] * (known.effort is False)
    host.screen.line(f"model: {known.id}{': ' if limits else ''}{', '.join(limits)}", "dim")


async def effort(host: "Host", argument: str) -> None:
    """Show or change the reasoning effort."""
    if argument and argument not in EFFORTS:
        host.screen.line(f"usage: /effort LEVEL, where LEVEL is one of {', '.join(EFFORTS)}", "failure")
        return
    if argument:
        await host.perform(ops.SetEffort(argument))
    known = host.session.model()
    ignored = f"; {host.options.model} does not support reasoning effort" if known.effort is False else ""
    host.screen.line(f"reasoning effort: {host.options.effort or MODEL_DEFAULT}{ignored}", "dim")


async def plan(host: "Host", argument: str) -> None:
    """Show the plan, turn plan mode on or off, or accept the plan and carry it out."""
    modes: dict[str, ApprovalMode] = {"on": "plan", "off": "ask", "accept": "ask"}
    if argument and argument not in modes:
        host.screen.line("usage: /plan [on|off|accept]", "failure")
    elif not argument:
        for line in plan_lines(await host.session.plan()) or ["no plan yet"]:
            host.screen.line(line)
    elif argument != "on" and host.options.approval_mode != "plan":
        host.screen.line("plan mode is off; /plan on turns it on", "failure")
    else:
        await _set_mode(host, modes[argument])
        if argument == "accept":
            await host.perform(ops.UserInput(ACCEPTED))


async def cost(host: "Host", _: str) -> None:
    """Show usage and cost so far: the total, then one line per source and model."""
    used = await host.session.totals()
    unknown = f" ({plural(used.unpriced_requests, 'request')} of unknown price)" if used.unpriced_requests else ""
    cost = spent(used.cost_usd, used.unpriced_requests)
    host.screen.line(f"{plural(used.requests, 'request')}, {cost}{unknown}")
    if rows := spending_rows(await host.session.spending()):
        for line in item_lines(rows, get_terminal_size().columns - 1, SPENDING_DROP):
            host.screen.line(line)


async def tools(host: "Host", _: str) -> None:
    """List the tools of the model."""
    for tool in host.session.tools():
        about = tool.description.partition("\n")[0]
        host.screen.line(f"{tool.name:12}{about}")


async def mcp(host: "Host", _: str) -> None:
    """List the MCP servers of this session, their status and tools."""
    states = host.session.servers()
    for state in states:
        why = f" ({state.why})" if state.why else ""
        changed = f", {len(state.changed)} changed since you allowed them" if state.changed else ""
        host.screen.line(f"{state.name:20}{state.status}{why}, {plural(len(state.tools), 'tool')}{changed}")
        for tool in state.tools:
            host.screen.line(f"  {tool}", "dim")
    if not states:
        host.screen.line("no MCP servers; `ml-intern mcp add` adds one", "dim")


async def yolo(host: "Host", _: str) -> None:
    """Turn approval questions off, or on again."""
    await _set_mode(host, "ask" if host.options.approval_mode == "yolo" else "yolo")


async def mode(host: "Host", argument: str) -> None:
    """Show or change the approval mode."""
    if argument and argument not in MODES:
        host.screen.line(f"usage: /mode MODE, where MODE is one of {', '.join(MODES)}", "failure")
        return
    if argument:
        await host.send(ops.SetMode(cast("ApprovalMode", argument)))
    chosen = argument or host.options.approval_mode
    host.screen.line(f"approval: {chosen}; {MODES[chosen]}", "dim")


async def now(host: "Host", argument: str) -> None:
    """Send a message to the running turn."""
    host.send_now(argument)


async def outputs(host: "Host", _: str) -> None:
    """Let the user choose a call and show its whole output."""
    await read_outputs(host.console, host.session)


async def status(host: "Host", _: str) -> None:
    """Show thread, folder, model and mode."""
    options = host.options
    row = await host.session.row()
    host.screen.line(f"thread   {host.session.thread_id}  {row.title if row else ''}".rstrip())
    host.screen.line(f"folder   {options.workspace}")
    host.screen.line(f"model    {options.model}, reasoning effort {options.effort or MODEL_DEFAULT}")
    host.screen.line(f"approval {options.approval_mode}")
    await cost(host, "")


async def doctor(host: "Host", _: str) -> None:
    """Show what is installed, where files are, and which API keys are set."""
    for line in await host.doctor():
        host.screen.line(line)


async def leave(host: "Host", _: str) -> None:
    """End the session."""
    host.leaving = True


async def _set_mode(host: "Host", mode: "ApprovalMode") -> None:
    await host.perform(ops.SetMode(mode))
    host.screen.line(f"approval: {host.options.approval_mode}; {MODES[host.options.approval_mode]}", "dim")
