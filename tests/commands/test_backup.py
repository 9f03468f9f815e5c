"""`backup`, `restore` and `doctor --repair` as a user meets them, and reading on a full disk."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from ml_intern.store.store import DATABASE_NAME
from tests.commands.conftest import call
from tests.commands.program import Program
from tests.store.conftest import query
from tests.store.recovery.damage import overwrite_pages

LIMIT_SECONDS = 120
WAIT = "touch started; until [ -e go ]; do sleep 0.05; done; seq 1 2000"
LIST_ON_A_FULL_DISK = """
mount -t tmpfs -o size=3m x {small} || exit 99
cp -r {home} {small}/home
head -c 9000000 /dev/zero > {small}/fill 2>/dev/null
export ML_INTERN_HOME={small}/home
{program} threads list --json; echo "code $?"
{program} -m {model} again; echo "code $?"
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def home(program: Program) -> Path:
    return program.root / "home"


def run_turn(program: Program, prompt: str) -> None:
    done = program.run("--no-sandbox", "-m", program.script({"text": "ok"}), prompt)
    assert done.returncode == 0, done.stderr


def titles(program: Program) -> list[str]:
    done = program.run("threads", "list", "--json")
    assert done.returncode == 0, done.stderr
    return sorted(row["title"] for row in json.loads(done.stdout))


def test_a_backup_is_made_listed_and_restored(program: Program) -> None:
    run_turn(program, "first")
    made = json.loads(program.run("backup", "--json").stdout)
    run_turn(program, "second")
    [listed] = json.loads(program.run("restore", "--json").stdout)
    assert made["file"].endswith(listed["name"])
    restored = program.run("restore", "latest")
    assert restored.stdout.startswith("restored the database; it has 1 thread\n")
    assert titles(program) == ["first"]
    missing = program.run("restore", "nothing.db")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


def test_damage_in_a_turn_fails_it_and_is_repaired_from_what_is_left(program: Program) -> None:
    run_turn(program, "first")
    model = program.script({"tool_calls": [call("bash", command=WAIT)]}, {"text": "done"})
    with program.start("--no-sandbox", "-m", model, "second") as running:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not (program.folder / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        query(home(program), "PRAGMA wal_checkpoint(TRUNCATE)")
        overwrite_pages(home(program) / DATABASE_NAME, every=6, first=30)
        (program.folder / "go").touch()
        _, errors = running.communicate(timeout=LIMIT_SECONDS)
    assert running.returncode == 78
    assert "is damaged" in errors
    assert "doctor --repair" in errors
    assert program.run("threads", "list").returncode == 78

    repaired = program.run("doctor", "--repair")
    assert repaired.returncode == 0, repaired.stderr
    assert repaired.stdout.startswith("repaired the database")
    assert titles(program) == ["first", "second"]
    assert program.run("doctor", "--repair").stdout == "the database is sound\n"


def test_threads_are_listed_on_a_full_disk(program: Program) -> None:
    run_turn(program, "first")
    small = program.root / "small"
    small.mkdir()
    names = {
        "home": home(program),
        "small": small,
        "program": program.command[0],
        "model": program.script({"text": "x"}),
    }
    namespace = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    ran = subprocess.run(
        [*namespace, "bash", "-c", LIST_ON_A_FULL_DISK.format(**names)],
        cwd=program.folder, env=program.environment, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS,
    )  # fmt: skip
    if ran.returncode == 99 or "unshare" in ran.stderr:
        pytest.skip("a small file system cannot be mounted here")
    listed, code = ran.stdout.split("code ")[:2]
    assert [row["title"] for row in json.loads(listed)] == ["first"]
    assert ran.stdout.endswith("code 75\n")
    assert code.startswith("0\n")
    assert "free some" in ran.stderr
    assert "Traceback" not in ran.stderr
