"""Commands with limits: memory stays bounded and the event loop is not blocked."""

import asyncio
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ml_intern.execution.process.command import ProcessCommand, run_command
from ml_intern.execution.process.sessions import members
from ml_intern.sandbox.command import WrappedCommand
from tests.execution.conftest import alive, until

ROOT = Path(__file__).resolve().parents[3]
# Runs in its own process, so that its memory can be measured.
FLOOD = """
import asyncio, os, resource, sys
from pathlib import Path
from ml_intern.execution.process.command import ProcessCommand, run_command

async def main():
    folder = Path(sys.argv[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    argv = ("bash", "-c", sys.argv[2])
    command = ProcessCommand(argv, folder, dict(os.environ), folder / "out", str(folder), 100, int(sys.argv[3]))
    finished = await run_command(command, lambda text: None)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(finished.ending, finished.characters, grown // 1024)

asyncio.run(main())
"""


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def command(folder: Path, text: str, **choices: int) -> ProcessCommand:
    return ProcessCommand(
        argv=("bash", "-c", text),
        folder=folder,
        environment=dict(os.environ),
        output=folder / "out",
        mark=str(folder),
        timeout=choices.get("timeout", 60),
        output_bytes=choices.get("output_bytes", 10_000_000),
    )


@pytest.mark.parametrize(
    ("text", "ending", "characters"),
    [
        ("head -c 200000000 /dev/zero | tr '\\0' '\\r'", "exited", 0),
        ("yes", "output cap", 4_000_000),
        ("head -c 200000000 /dev/zero | tr '\\0' x", "output cap", 4_000_000),
    ],
)
def test_memory_stays_bounded_whatever_a_command_writes(
    tmp_path: Path, text: str, ending: str, characters: int
) -> None:
    cap = "1000000000" if ending == "exited" else "4000000"
    done = subprocess.run(
        [sys.executable, "-c", FLOOD, str(tmp_path), text, cap], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ended, length, grown = done.stdout.rsplit(maxsplit=2)
    assert (ended, int(length)) == (ending, characters)
    assert int(grown) < 60
    assert (tmp_path / "out").stat().st_size == characters


async def test_an_endless_writer_is_terminated_at_the_limit(tmp_path: Path) -> None:
    finished = await run_command(command(tmp_path, "echo $$ > pid; trap '' PIPE; yes", output_bytes=100_000), print)
    assert (finished.ending, finished.characters) == ("output cap", 100_000)
    assert not alive(int((tmp_path / "pid").read_text()))


async def test_the_event_loop_is_not_blocked_while_a_command_runs(tmp_path: Path) -> None:
    running = asyncio.create_task(run_command(command(tmp_path, "until [ -e go ]; do sleep 0.01; done"), print))
    other = asyncio.create_subprocess_exec("touch", str(tmp_path / "go"))
    await (await other).wait()
    assert (await running).exit_code == 0


async def test_a_command_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    finished = await run_command(command(tmp_path, "exec >&- 2>&-; sleep 0.2; exit 4"), print)
    assert (finished.ending, finished.exit_code) == ("exited", 4)


async def test_a_missing_program_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = descriptors()
    missing = ProcessCommand(("no-such-program",), tmp_path, {}, tmp_path / "out", "mark", 5)
    with pytest.raises(FileNotFoundError):
        await run_command(missing, print)
    assert descriptors() == before


async def test_many_commands_leave_no_descriptor_open(tmp_path: Path) -> None:
    await run_command(command(tmp_path, "true"), print)
    before = descriptors()
    for _ in range(20):
        await run_command(command(tmp_path, "echo x; sleep 0.01 &"), print)
    assert descriptors() <= before


async def test_an_unwritable_output_file_terminates_the_command(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(IsADirectoryError):
        await run_command(command(tmp_path, "echo $$ > pid; sleep 1000"), print)
    pid = tmp_path / "pid"
    assert not (pid.exists() and pid.read_text() and alive(int(pid.read_text())))


async def test_a_nested_call_carries_the_marks_of_both_calls(tmp_path: Path) -> None:
    """ml-intern within a command marks its own calls and keeps the outer mark, so ending the outer call ends them."""
    inner = command(tmp_path, "echo $ML_INTERN_CALL", timeout=20)
    outer = ProcessCommand(inner.argv, tmp_path, {**os.environ, "ML_INTERN_CALL": "outer"}, inner.output, "inner", 20)
    await run_command(outer, print)
    assert inner.output.read_text() == "outer:inner\n"


async def test_a_sandboxed_command_that_is_cancelled_while_it_starts_is_ended(tmp_path: Path) -> None:
    may_start = threading.Event()
    wrapped = WrappedCommand(["sleep", "60"], dict(os.environ), thread_setup=(may_start.wait,))
    before = descriptors()
    task = asyncio.create_task(run_command(replace(command(tmp_path, ""), wrapped=wrapped), print))
    await asyncio.sleep(0)
    task.cancel()
    may_start.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: members(None, str(tmp_path)) == [])
    assert descriptors() <= before
