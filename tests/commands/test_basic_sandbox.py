"""Whole unattended runs on machines without bubblewrap, without user namespaces, and without any sandbox."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_intern.sandbox.basic.wrapping import basic_problem
from tests.commands.conftest import call
from tests.commands.program import Program
from tests.users import ROOT, as_ordinary_user, folder_of_ordinary_user, give_to_ordinary_user, python_of_ordinary_user

pytestmark = pytest.mark.skipif(basic_problem() is not None, reason=f"no basic sandbox here: {basic_problem()}")
OLDER = str(Path(__file__).parents[1] / "sandbox" / "older_kernel.py")
CODE = """
import os, pathlib
pathlib.Path("made").write_text(os.environ["HOME"])
for path in ("../secret", "/tmp/escaped"):
    try:
        open(path, "a").close()
        print("rea" + "ched", path)
    except OSError as error:
        print(error)
"""


def without_bubblewrap(folder: Path) -> str:
    """Return a PATH with everything but bubblewrap."""
    links = folder / "programs"
    links.mkdir()
    for entry in ("/usr/local/bin", "/usr/bin", "/bin"):
        for program in Path(entry).iterdir():
            if program.name != "bwrap" and not (links / program.name).is_symlink():
                (links / program.name).symlink_to(program)
    return str(links)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    (tmp_path / "secret").write_text("canary")
    return program


def lacking(program: Program, *missing: str) -> Program:
    program.prefix = (sys.executable, OLDER, ",".join(missing))
    return program


def steps(command: str) -> list[dict[str, Any]]:
    code = call("write", path="work.py", content=CODE)
    return [{"tool_calls": [code]}, {"tool_calls": [call("bash", command=command)]}, {"text": "done"}]


def run(program: Program, *options: str, command: str = "python3 work.py") -> tuple[int, dict[str, Any], str]:
    """Return the exit code, the data of `ready`, and all output."""
    script = program.script(*steps(command))
    if program.prefix and program.prefix[0] == "setpriv":
        give_to_ordinary_user(program.root)
    done = program.run("--output-format", "stream-json", *options, "-m", script, "go")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[0])["data"], done.stdout + done.stderr


def check_contained(program: Program, code: int, ready: dict[str, Any], out: str) -> None:
    assert (code, ready["sandbox"]) == (0, "basic network list"), out
    assert any(note.startswith("basic sandbox (") and "weaker in:" in note for note in ready["notes"])
    assert "reached" not in out
    assert (program.folder / "made").read_text() != program.environment.get("HOME")


def test_a_run_without_bubblewrap_is_contained_by_the_basic_sandbox(program: Program) -> None:
    program.environment["PATH"] = without_bubblewrap(program.root)
    check_contained(program, *run(program))


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="there is no bubblewrap")
def test_so_is_a_run_where_bubblewrap_may_not_create_namespaces(program: Program) -> None:
    code, ready, out = run(lacking(program, "namespaces"))
    check_contained(program, code, ready, out)
    assert "bubblewrap cannot create a sandbox on this machine" in " ".join(ready["notes"])


def test_a_background_run_and_a_command_of_the_user_are_contained_too(program: Program) -> None:
    program.environment["PATH"] = without_bubblewrap(program.root)
    code, _, out = run(program, command="python3 work.py; sleep 0.2")
    assert (code, "reached" in out) == (0, False)
    shown = subprocess.run(
        [*program.prefix, sys.executable, "-m", "ml_intern", "sandbox", "--", "cat ../secret; touch here; exit 7"],
        cwd=program.folder, env=program.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (shown.returncode, shown.stdout) == (7, "")
    assert (program.folder / "here").exists()


@pytest.fixture
def users_program() -> Iterator[Program]:
    prefix, python = as_ordinary_user(), python_of_ordinary_user()
    if prefix is None or python is None:
        pytest.skip("an ordinary user cannot run this here")
    with folder_of_ordinary_user() as folder:
        own = {"HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"}
        program = Program(folder, own)
        (folder / "secret").write_text("canary")
        # main() ignores PYTHONPATH, which would be the model's.
        places = python[1].get("PYTHONPATH", str(ROOT)).split(os.pathsep)
        code = f"import sys; sys.path[:0] = {places}; from ml_intern.__main__ import main; main()"
        program.prefix, program.command = prefix, (python[0], "-c", code)
        yield program


def test_a_run_of_an_ordinary_user_is_contained(users_program: Program) -> None:
    check_contained(users_program, *run(users_program, "--set", "sandbox.kind=basic"))


@pytest.mark.skipif(os.getuid() != 0 and shutil.which("bwrap") is None, reason="there is no bubblewrap")
def test_with_neither_code_waits_for_a_person_and_known_commands_run(program: Program) -> None:
    lacking(program, "namespaces", "landlock")
    code, ready, out = run(program)
    assert (code, ready["sandbox"]) == (3, "none")
    assert "no sandbox: bubblewrap cannot create a sandbox" in " ".join(ready["notes"])
    assert "this kernel has no Landlock" in " ".join(ready["notes"])
    assert "it runs code, and this machine has no sandbox to contain it (--no-sandbox allows it)" in out
    assert not (program.folder / "made").exists()
    assert run(program, command="mkdir new && cp work.py new/ && ls new")[0] == 0
    assert (program.folder / "new/work.py").exists()
    assert run(program, "--no-sandbox")[0] == 0
    assert (program.folder / "made").exists()
    assert run(program, "--sandbox")[0] == 78


def test_without_locks_commands_run_and_a_thread_is_refused_with_a_remedy(program: Program) -> None:
    lacking(program, "locks")
    command = [*program.prefix, sys.executable, "-m", "ml_intern"]
    shown = subprocess.run(
        [*command, "sandbox", "--", "echo fine"],
        cwd=program.folder, env=program.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "fine\n", "")
    refused = program.run("-m", program.script({"text": "done"}), "go")
    assert refused.returncode == 78
    assert (
        "ml-intern's folder has no locks: No locks available (set ML_INTERN_HOME to a folder on a local disk)"
        in refused.stderr
    )
    assert len(refused.stderr.splitlines()) == 1


def test_a_disk_that_fills_inside_a_cache_is_the_commands_error_and_later_commands_run(program: Program) -> None:
    cache, data = program.root / "uv", program.root / "small"
    for folder in (cache, data):
        folder.mkdir()
    one = f"{sys.executable} -m ml_intern sandbox -- "
    script = f"mount -t tmpfs -o size=4m x {data} || exit 99\n"
    script += f"{one} 'head -c 9000000 /dev/zero > $UV_CACHE_DIR/x; echo code $?'\n{one} 'echo fine'"
    namespace = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    ran = subprocess.run(
        [*namespace, "bash", "-c", script],
        cwd=program.folder, env={**program.environment, "ML_INTERN_HOME": str(data), "UV_CACHE_DIR": str(cache)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode == 99 or "unshare" in ran.stderr:
        pytest.skip("a small file system cannot be mounted here")
    assert (ran.returncode, ran.stdout) == (0, "code 1\nfine\n"), ran.stderr
    assert "No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr
