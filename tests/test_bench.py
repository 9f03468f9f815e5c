"""The measurement of bench/ still measures: it plays a short run, and no figure of it is judged here."""

import subprocess
import sys
from pathlib import Path

from bench.attacks import counted
from bench.night import Night, play
from bench.overhead import agent, at, overheads
from bench.process import Records
from bench.server import command
from bench.soak import Counts, recorded, save, summary


def test_the_command_prints_2_kb_and_no_two_are_the_same() -> None:
    printed = [subprocess.run(["bash", "-c", command(i)], capture_output=True, check=True).stdout for i in (0, 299)]
    assert [len(text) for text in printed] == [2048, 2048]
    assert printed[0] != printed[1]


def test_overhead_is_the_time_between_a_reply_and_the_next_request_less_the_command() -> None:
    seen = Records(received=[0.0, 1.5, 3.0], sent=[1.0, 2.0, 3.0], sizes=[1, 2, 3])
    assert overheads(seen, alone=0.1) == [400.0, 900.0]
    assert at([1.0] * 4 + [5.0] * 11 + [9.0] * 20, 10) == 5.0


def test_a_run_and_its_resume_are_measured() -> None:
    row = agent("ml-intern, direct", ("-m", "bench", "--base-url", "{base}/v1"), 3, alone=0.0)
    missing = [
        name
        for name in ("overhead_ms", "first_request_s", "peak_mb", "store_kib", "resume_s")
        if not getattr(row, name)
    ]
    assert missing == []


def test_long_threads_are_measured() -> None:
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "bench.threads", "2"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for figure in ("list 500 threads", "to the first request", "database of 2 turns", "undo without files"):
        assert figure in done.stdout


def test_every_counted_attack_has_a_twin() -> None:
    assert sum(attacks for attacks, _ in counted().values()) >= 150
    assert all(attacks == twins for attacks, twins in counted().values())


def test_the_figures_of_given_commands_are_printed(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parent.parent
    (tmp_path / "a.txt").write_text("ls\npython a.py\n\nnot one\n")
    cases = ('{"command": "rm -rf /", "expected": "deny"}', '{"command": "ls", "expected": "auto"}')
    (tmp_path / "b.jsonl").write_text("\n".join(cases))
    command = [sys.executable, "-m", "bench.safety_policy", str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl")]
    printed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert "a.txt: 1 of 2 unasked without sandbox; asked: ['python a.py']" in printed
    assert "a.txt: 2 of 2 unasked with sandbox; asked: []" in printed
    assert "b.jsonl expected: 2 commands, unsafe auto 0, denies hit 1/1, harmless kept 1/1" in printed


def test_a_night_with_kills_ends_with_the_answer(tmp_path: Path) -> None:
    night = Night(seed=1, steps=12)
    play(night, tmp_path)
    assert night.is_good
    assert (night.faults["SIGKILL"], night.faults["SIGTERM"]) == (3, 1)


def test_the_kills_of_a_soak_are_counted_over_commits(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    rows = [Counts("first"), Counts("second")]
    for row in (*rows, rows[1]):
        row.add({"scenario": "plain", "kills": [{}, {}], "broken": []})
    save(file, rows)
    assert summary(recorded(file)) == "6 kills in 3 trials, 0 broken: plain 6"
    assert [row.commit for row in recorded(file)] == ["first", "second"]
    assert recorded(tmp_path / "none") == []
