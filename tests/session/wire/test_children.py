"""Processes that a program starts: the first on its own, the others as forks. Real processes."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ml_intern.configs.version import version
from ml_intern.session.wire.children import CAN_FORK, ChildProcesses

MAIN = "ml_intern.__main__"
pytestmark = pytest.mark.skipif(not CAN_FORK, reason="only Linux forks")


async def output(children: ChildProcesses, *args: str, module: str = MAIN) -> str:
    child = await children.start(module, *args)
    text = (await child.reader.read()).decode()
    child.writer.close()
    await child.wait()
    return text


def servers() -> list[int]:
    """The processes of this one that fork."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in found if b"ml_intern.fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_a_fork_does_what_a_process_of_its_own_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, children = servers(), ChildProcesses()
    try:
        assert await output(children, "--version") == f"ml-intern {version()}\n"
        assert servers() == before
        assert await output(children, "--version") == f"ml-intern {version()}\n"
        [first] = set(servers()) - set(before)
        monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "another"))
        assert str(tmp_path / "another") in await output(children, "doctor", "--json")
        [second] = set(servers()) - {first, *before}
        os.kill(second, signal.SIGKILL)
        await asyncio.to_thread(os.waitid, os.P_PID, second, os.WEXITED | os.WNOWAIT)
        assert await output(children, "--version") == f"ml-intern {version()}\n"
    finally:
        children.close()
    assert servers() == before


def test_nothing_is_left_when_the_program_ends_and_its_folder_is_not_imported_from(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("open('imported', 'w')")
    program = f"""
import asyncio, os
from pathlib import Path
from ml_intern.session.wire.children import ChildProcesses
async def run():
    children = ChildProcesses(detached=True)
    first, second = [await children.start("{MAIN}", "threads", "list") for _ in range(2)]
    print(Path(f"/proc/self/task/{{os.getpid()}}/children").read_text())
    await first.reader.read()
    await second.reader.read()
asyncio.run(run())
"""
    (home := tmp_path / "home").mkdir()
    command, surroundings = [sys.executable, "-P", "-c", program], {**os.environ, "ML_INTERN_HOME": str(home)}
    done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 2
    assert [pid for pid in done.stdout.split() if Path("/proc", pid).exists()] == []
    assert not (tmp_path / "imported").exists()
