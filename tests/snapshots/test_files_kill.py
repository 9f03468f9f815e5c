"""A process killed while it takes or restores snapshots does not block the next one."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.snapshots.workspace import Workspace, picture

ROOT = Path(__file__).resolve().parent.parent.parent
BUSY = """
import asyncio, sys
from pathlib import Path
from tests.snapshots.workspace import Workspace

async def main():
    workspace = Workspace(Path(sys.argv[1]), Path(sys.argv[2]))
    print("ready", flush=True)
    for number in range(1000):
        name = await workspace.take()
        workspace.write("a", str(number))
        await workspace.restore(name)

asyncio.run(main())
"""


@pytest.fixture
def killed(tmp_path: Path, request: pytest.FixtureRequest) -> Workspace:
    """A workspace whose session was killed after `request.param` hundredths of a second."""
    workspace = Workspace(tmp_path / "work", tmp_path / "home")
    for number in range(30):
        workspace.write(f"f{number}", "x" * number)
    command = [sys.executable, "-c", BUSY, str(workspace.folder), str(workspace.home)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(request.param / 100)
        child.kill()
    return workspace


@pytest.mark.parametrize("killed", [0, 2, 5, 9], indirect=True)
async def test_snapshots_work_after_a_kill_at_any_time(killed: Workspace) -> None:
    (killed.folder / "a").unlink(missing_ok=True)
    killed.write(".ml-intern-undo-left", "half")
    name = await killed.take()
    before = picture(killed.folder)
    assert len(before) == 30
    killed.write("f3", "changed")
    await killed.restore(name)
    assert picture(killed.folder) == before
    assert killed.problems == []
