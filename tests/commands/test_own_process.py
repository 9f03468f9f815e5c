"""The program's keys are not in what its commands can read of it: its initial environment and its memory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.conftest import call
from tests.commands.program import Program
from tests.users import as_ordinary_user, folder_of_ordinary_user, give_to_ordinary_user

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
KEY = "sk-ant-canary-f2a9"
READS_PARENT = "p=$(ps -o ppid= -p $$ | tr -d ' '); cat /proc/$p/environ > block; ls -l /proc/$p/fd > files; true"


@pytest.fixture(params=["root", "user"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    if request.param == "root":
        if os.getuid() != 0:
            pytest.skip("the tests do not run as root")
        yield Program(tmp_path, {"ANTHROPIC_API_KEY": KEY})
        return
    prefix = as_ordinary_user()
    if prefix is None:
        pytest.skip("there is no setpriv")
    with folder_of_ordinary_user() as folder:
        program = Program(folder, {"ANTHROPIC_API_KEY": KEY, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"})
        program.prefix = prefix
        yield program


def run(program: Program, code: str) -> None:
    (program.folder / "look.sh").write_text(code)
    script = program.script({"tool_calls": [call("bash", command="bash look.sh")]}, {"text": "done"})
    if program.prefix:
        give_to_ordinary_user(program.root)
    done = program.run("--no-sandbox", "--yolo", "-m", script, "go")
    assert done.returncode == 0, done.stderr


def test_a_command_without_sandbox_does_not_find_the_keys_in_the_environment_of_its_parent(program: Program) -> None:
    run(program, READS_PARENT)
    assert KEY not in (program.folder / "block").read_text()
    if program.prefix:
        assert (program.folder / "files").read_text() == ""  # root may read the memory of everyone


def test_children_get_their_variables_as_before(program: Program) -> None:
    program.environment["MARKER_VARIABLE"] = "still there"
    run(program, 'echo "$MARKER_VARIABLE $HOME" > seen')
    assert (program.folder / "seen").read_text() == f"still there {program.environment['HOME']}\n"


CHILD = """
import os, subprocess
from ml_intern.sandbox.own_process import hide_own_process
hide_own_process()
block = subprocess.run(["cat", f"/proc/{os.getpid()}/environ"], capture_output=True).stdout
print(block.strip(bytes(1)).decode(), os.environ["A_KEY"], subprocess.getoutput("echo $A_KEY"), sep="|")
"""


def test_only_the_mark_of_the_calling_ml_intern_stays_readable() -> None:
    variables = {**os.environ, "A_KEY": KEY, "ML_INTERN_CALL": "mark:1"}
    done = subprocess.run([sys.executable, "-c", CHILD], env=variables, capture_output=True, text=True, check=True)
    block, *values = done.stdout.strip().split("|")
    assert values == [KEY, KEY]
    assert block in {"ML_INTERN_CALL=mark:1", ""}  # an ordinary user cannot read it at all
