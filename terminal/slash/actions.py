"""What the slash commands do. Each takes the App and the words after the command's name."""

from typing import TYPE_CHECKING

from ml_intern.graph import operations as ops
from ml_intern.terminal.picker import pick_thread
from ml_intern.terminal.render.summary import money, plan_lines, spending_lines

if TYPE_CHECKING:
    from ml_intern.graph.context import ApprovalMode
    from ml_intern.terminal.app import App

ACCEPTED = "I accept the plan. Carry it out."
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


async def show_help(app: "App", _: str) -> None:
    """The list of commands and keys."""
    from ml_intern.terminal.slash.table import help_lines

    for line in help_lines():
        app.screen.line(line)


async def new(app: "App", _: str) -> None:
    """A new thread."""
    await app.perform(ops.New())
    app.screen.line("a new thread", "dim")


async def clear(app: "App", _: str) -> None:
    """A new thread on an empty screen."""
    app.screen.console.clear()
    await new(app, "")


async def fork(app: "App", argument: str) -> None:
    """Go on in a copy."""
    if argument and not argument.isdecimal():
        app.screen.line("write /fork or /fork TURN, a number", "red")
        return
    await app.perform(ops.Fork(int(argument) if argument else None))


async def resume(app: "App", argument: str) -> None:
    """Go on in another thread."""
    thread = argument or await _chosen(app)
    if thread:
        await app.perform(ops.Resume(thread))


async def _chosen(app: "App") -> str | None:
    rows = await app.threads()
    sizes = await app.session.services.store.checkpoints.sizes([row.id for row in rows])
    return await pick_thread(app.screen, app.prompt, rows, sizes)


async def rename(app: "App", argument: str) -> None:
    """Give the thread a title."""
    if not argument:
        app.screen.line("write /rename TITLE", "red")
        return
    await app.perform(ops.Rename(argument))
    app.screen.line(f"the thread is now called {argument!r}", "dim")


async def compact(app: "App", argument: str) -> None:
    """Shorten the conversation."""
    await app.perform(ops.Compact(argument))


async def model(app: "App", argument: str) -> None:
    """Show or change the model."""
    if argument:
        await app.perform(ops.SetModel(argument))
    known, id = app.session.services.models, app.options.model
    window, able = known.window(id), known.abilities(id)
    limits = [f"a window of {window:,} tokens"] if window else []
    limits += ["no images"] * (able.images is False) + ["no reasoning effort"] * (able.effort is False)
    app.screen.line(f"model: {id}{': ' if limits else ''}{', '.join(limits)}", "dim")


async def effort(app: "App", argument: str) -> None:
    """Show or change the reasoning effort."""
    if argument and argument not in EFFORTS:
        app.screen.line(f"effort is one of {', '.join(EFFORTS)}", "red")
        return
    if argument:
        await app.perform(ops.SetEffort(argument))
    known = app.session.services.models.abilities(app.options.model)
    ignored = f"; {app.options.model} takes none, as far as is known" if known.effort is False else ""
    app.screen.line(f"reasoning effort: {app.options.effort or 'as the model has it'}{ignored}", "dim")


async def plan(app: "App", argument: str) -> None:
    """Show the plan, turn plan mode on and off, or accept the plan and have it carried out."""
    modes: dict[str, ApprovalMode] = {"on": "plan", "off": "ask", "accept": "ask"}
    if argument and argument not in modes:
        app.screen.line("write /plan, /plan on, /plan off or /plan accept", "red")
    elif not argument:
        for line in plan_lines(await app.session.plan()) or ["there is no plan"]:
            app.screen.line(line)
    elif argument != "on" and app.options.approval_mode != "plan":
        app.screen.line("plan mode is not on", "red")
    else:
        await _set_mode(app, modes[argument])
        if argument == "accept":
            await app.perform(ops.UserInput(ACCEPTED))


async def cost(app: "App", _: str) -> None:
    """What was used so far: in all, and for each source and model."""
    used = await app.session.totals()
    unknown = f", and {used.unknown_cost_requests} requests of unknown price" if used.unknown_cost_requests else ""
    app.screen.line(f"{used.requests} requests, {money(used.cost_usd)}{unknown}")
    for line in spending_lines(await app.session.services.store.ledger.by_source(app.session.thread_id)):
        app.screen.line(line)


async def tools(app: "App", _: str) -> None:
    """The tools of the model."""
    offered = app.session.services.tools
    for name in app.tools:
        about = offered[name].description.partition("\n")[0] if name in offered else ""
        app.screen.line(f"{name:12}{about}")


async def mcp(app: "App", _: str) -> None:
    """The MCP servers of this session and how each stands."""
    servers = app.session.services.servers
    states = servers.states() if servers is not None else []
    for state in states:
        why = f" ({state.why})" if state.why else ""
        changed = f", {len(state.changed)} changed and asked about again" if state.changed else ""
        app.screen.line(f"{state.name:20}{state.status}{why}, {len(state.tools)} tools{changed}")
        for tool in state.tools:
            app.screen.line(f"  {tool}", "dim")
    if not states:
        app.screen.line("there are none; `ml-intern mcp add` makes one known", "dim")


async def yolo(app: "App", _: str) -> None:
    """Stop asking, or ask again."""
    await _set_mode(app, "ask" if app.options.approval_mode == "yolo" else "yolo")


async def status(app: "App", _: str) -> None:
    """Where we are."""
    options = app.options
    app.screen.line(f"thread   {app.session.thread_id}")
    app.screen.line(f"folder   {options.workspace}")
    app.screen.line(f"model    {options.model}, effort {options.effort or 'as the model has it'}")
    app.screen.line(f"approval {options.approval_mode}")
    await cost(app, "")


async def doctor(app: "App", _: str) -> None:
    """What is installed, where things are kept, which keys are there."""
    for line in await app.doctor():
        app.screen.line(line)


async def leave(app: "App", _: str) -> None:
    """End the session."""
    app.leaving = True


async def _set_mode(app: "App", mode: "ApprovalMode") -> None:
    await app.perform(ops.SetMode(mode))
    said = {
        "yolo": "nothing is asked any more; only deny rules hold (/yolo asks again)",
        "ask": "calls that can change something are asked about",
        "plan": "only reading; /plan accept carries the plan out, /plan off leaves it",
        "auto": "nobody is asked",
    }
    app.screen.line(f"approval: {app.options.approval_mode}; {said[app.options.approval_mode]}", "dim")
