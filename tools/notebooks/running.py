"""Running the cells of a Jupyter notebook in a fresh kernel, in the sandbox."""

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from ml_intern.configs.version import install_hint
from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.process.command import ProcessCommand, run_command
from ml_intern.execution.provenance import source_note
from ml_intern.execution.sandboxed import open_sandbox
from ml_intern.execution.tool import ToolContext
from ml_intern.tools.local.bash import finished_result

SAVING_SECONDS = 90.0
"""The time after the limit for the start of the kernel and for saving."""
_CHILD = Path(__file__).with_name("kernel_child.py").resolve()
_PYTHONS = ("python3", "python", sys.executable)
"""The Pythons that may be the kernel: the first one with ipykernel is used."""


async def run_cells(path: Path, last: int, seconds: float, context: ToolContext) -> ToolResult:
    """Run the code cells up to number `last` and write their outputs into the file. Raises ToolError."""
    if find_spec("jupyter_client") is None:
        hint = install_hint("notebook")
        raise ToolError(f"running notebooks requires jupyter_client: ask the user to run {hint}, or run a script")
    argv = (sys.executable, "-I", str(_CHILD), str(path), str(last), str(seconds), *_PYTHONS)
    try:
        async with open_sandbox(argv, path.parent, context) as prepared:
            command = ProcessCommand(
                argv=prepared.argv,
                folder=path.parent,
                environment=prepared.environment,
                output=context.artifact_path(),
                mark=context.mark,
                timeout=seconds + SAVING_SECONDS,
                wrapped=prepared.wrapped,
            )
            finished = await run_command(
                command, lambda text: context.emit("tool_log", id=context.call_id, name="notebook", text=text)
            )
            connections = prepared.connections
    except (OSError, ValueError) as error:
        raise ToolError(f"the notebook could not run: {error}") from error
    notes = [*connections.notes, *source_note(connections.reached), "the outputs are in the notebook"]
    return replace(finished_result(finished, command, notes), taint=connections.reached)
