import glob
import hashlib
import json
import os
import random
from pathlib import Path

import pytest

from ml_intern.safety.shell.analysis import classify
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.sandbox.bubblewrap import Profile, sandbox_problem
from tests.sandbox.wrapped_runs import run_wrapped

DATA = Path(__file__).parent.parent / "data"
WANTED = 500
CANARY = "canary-of-the-home"
ADDITIONS = (
    "-o out", "--output=out", "-exec rm {} +", "-delete", "-i", "-w out", "../../home/.ssh/id_rsa", "~/.ssh/id_rsa",
    "out", "-", "-f ~/.netrc", "> out", ">> out", "2>out", "| tee out", "| sh", "; touch out", "&& rm a.txt",
    "|| id", "-la", "-n", "--", "*", "src/*", "link", "link/id_rsa", "-R", "-r", "--files0-from=link", "-e x",
    "$(touch out)", "`touch out`", "<(touch out)", "-v", "--help", "a.txt", "src", "'quoted'", "\"$HOME\"", "\\;",
    "-c", "-T .", "--compress-program=./run.sh", "-s", "-z", "--pre=./run.sh", "'1w out'", "'{print > \"out\"}'",
    "'BEGIN{system(\"touch out\")}'", "-fprint out", "1 1>out", "#", "\n", "|& cat", "-L", "-0",
)  # fmt: skip


def generated(seed: int, base: Path) -> list[str]:
    """Return random combinations of labelled commands that the policy would run unasked."""
    rng = random.Random(seed)
    names = ("shell_commands.jsonl", "own_shell_commands.jsonl")
    cases = [json.loads(line) for name in names for line in (DATA / name).read_text().splitlines()]
    words = [case["command"] for case in cases]
    plain = [case["command"] for case in cases if case["expected"] == "auto"]
    place = CommandContext(
        str(base / "ws"),
        home=str(base / "home"),
        resolve=os.path.realpath,
        match=lambda pattern: tuple(glob.glob(pattern)),  # noqa: PTH207
    )
    found: dict[str, None] = {}
    while len(found) < WANTED:
        parts = [rng.choice(plain if rng.random() < 0.7 else words)]
        parts += [rng.choice(ADDITIONS) for _ in range(rng.randrange(3))]
        if rng.random() < 0.3:
            parts += [rng.choice(("|", "&&", ";", "||", "\n")), rng.choice(plain)]
        command = " ".join(parts)
        if "sleep" not in command and classify(command, place).kind == "auto":
            found[command] = None
    return list(found)


def fill(base: Path) -> None:
    """A workspace with the files that the commands use, a link to the outside, and a home with canaries."""
    workspace, home = base / "ws", base / "home"
    for folder in ("src/sub", "logs", "scripts", "tests", "checkpoints", "config"):
        (workspace / folder).mkdir(parents=True)
    names = "a.txt b.txt data.csv train.py README.md src/a.py logs/train.log config.json .mcp.json"
    for name in names.split():
        (workspace / name).write_text("1,2\nloss foo 3\n")
    (workspace / "run.sh").write_text("#!/bin/sh\ntouch out\n")
    (workspace / "run.sh").chmod(0o755)
    for name in (".ssh/id_rsa", ".netrc"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(CANARY)
    (workspace / "link").symlink_to(home / ".ssh")


def digest(folder: Path) -> str:
    state = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        state.update(f"{path}{path.lstat().st_mode}".encode())
        if path.is_file() and not path.is_symlink():
            state.update(path.read_bytes())
    return state.hexdigest()


def run_all(commands: list[str], base: Path) -> str:
    """Run every command with read access to the home and write access to the workspace; return all output."""
    (base / "runner.py").write_text(
        "import json, subprocess, sys\n"
        "for command in json.load(open(sys.argv[1])):\n"
        "    argv = ['timeout', '5', 'bash', '-c', command]\n"
        "    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True)\n"
        "    sys.stdout.buffer.write(done.stdout + done.stderr)\n"
    )
    (base / "commands.json").write_text(json.dumps(commands))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(base / "home"), "LANG": "C.UTF-8"}
    profile = Profile(str(base / "ws"), str(base / "home"), readable=(str(base),), environment=environment)
    command = ["/usr/bin/python3", str(base / "runner.py"), str(base / "commands.json")]
    ran = run_wrapped(command, profile, timeout=300)
    assert ran.code == 0, ran.err
    return ran.out


needs = pytest.mark.skipif(
    sandbox_problem() is not None or not Path("/usr/bin/python3").exists(),
    reason=f"no sandbox or no system python: {sandbox_problem()}",
)


@needs
def test_500_generated_unasked_commands_change_nothing_and_read_no_secret(tmp_path: Path) -> None:
    fill(tmp_path)
    before = digest(tmp_path / "ws")
    assert CANARY not in run_all(generated(5, tmp_path), tmp_path)
    assert digest(tmp_path / "ws") == before


@needs
def test_the_check_detects_changes_and_canaries(tmp_path: Path) -> None:
    fill(tmp_path)
    before = digest(tmp_path / "ws")
    assert CANARY in run_all(["cat link/id_rsa", "touch out"], tmp_path)
    assert digest(tmp_path / "ws") != before
