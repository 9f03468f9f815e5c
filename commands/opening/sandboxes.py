"""What a session does about Hugging Face sandboxes: the tools of `--tool-runtime sandbox`, and the end of sandboxes."""

from typing import TYPE_CHECKING

from ml_intern.commands.failure import say
from ml_intern.configs.errors import SandboxMissing
from ml_intern.graph.context import RunOptions

if TYPE_CHECKING:
    from ml_intern.execution.tool import ToolSpec
    from ml_intern.store.store import Store


async def runtime_tools(options: RunOptions) -> "tuple[dict[str, ToolSpec], tuple[str, ...]]":
    """The tools that take the place of those of this machine, and what their machine costs.

    Raises:
        SandboxMissing: no sandbox can be had.
    """
    if options.tool_runtime == "local":
        return {}, ()
    from ml_intern.execution.call import ToolError
    from ml_intern.runs.backends.hub_sandbox import MachineRequest, machine_of
    from ml_intern.tools.compute.remote_tools import remote_tools

    try:
        machine = await machine_of(MachineRequest())
    except ToolError as fault:
        raise SandboxMissing(f"no Hugging Face sandbox can be had: {fault}", "or give --tool-runtime local") from fault
    return remote_tools(), (f"bash, read, write and edit work in a Hugging Face sandbox, {machine.line}",)


async def swept(store: "Store", thread_id: str) -> tuple[str, ...]:
    """End what sessions that were killed left running, but for the thread that goes on; a line for each."""
    from ml_intern.runs.backends.hub_sandbox import sandboxes_of

    return tuple(await sandboxes_of(store).sweep(keep=thread_id))


async def end_sandboxes(store: "Store") -> None:
    """End those of this session, and say so."""
    from ml_intern.runs.backends.hub_sandbox import sandboxes_of

    for line in await sandboxes_of(store).close():
        say(line, 0)
