"""Whatever ran, the check of an answer ends, and says what it could not see."""

import asyncio
import json
import resource
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_intern.evidence.gate import check_answer
from ml_intern.evidence.observations import Observations, observe
from ml_intern.evidence.statement.write import write_statements
from ml_intern.evidence.verdict import AnswerVerdict
from ml_intern.execution.recording.file_watch import MAX_PATHS, FileWatch
from ml_intern.nodes.verification import goal_outcome, run_verification
from ml_intern.text.digests import content_digest
from tests.evidence.test_gate import ran
from tests.execution.conftest import Bench
from tests.execution.recording.test_file_watch import used

ANSWER = "The accuracy is 0.8125."


def verdict(folder: Path, script: str, **more: Any) -> AnswerVerdict:
    (folder / "train.py").write_text(script)
    run = ran(folder, text="accuracy=0.8125", opened=["train.py"], **more)
    return asyncio.run(check_answer(ANSWER, Observations(folder, (folder,), "", (run,), level="standard")))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("x = 1\n" * 200_000, "larger than 200 kB"),
        ("x = " + "-" * 5000 + "1", "nested too deeply"),
        ("def f(:\n", ""),
        ("\0", ""),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), ""),
        ("", ""),
    ],
)
def test_a_script_that_cannot_be_read_is_named_as_not_analysed(script: str, reason: str, tmp_path: Path) -> None:
    found = verdict(tmp_path, script)
    assert found.claims[0].state == "held"
    assert [reason for one in found.findings if one.rule == "not analysed" and reason in one.text] == (
        [reason] if reason else []
    )


def test_a_crash_in_c_is_not_a_result(tmp_path: Path) -> None:
    crashed = verdict(tmp_path, "import ctypes; ctypes.string_at(0)", state="failed", reason="exit code 139")
    assert crashed.status == "marked"
    assert "ended as failed: exit code 139" in crashed.notes[0]


def test_a_crash_that_the_command_hides_makes_the_evidence_incomplete(tmp_path: Path) -> None:
    line = "/usr/bin/bash: line 1:     3 Segmentation fault      (core dumped) python3 train.py"
    run = ran(tmp_path, "python3 train.py; true", text=f"accuracy=0.8125\n{line}\n[exit code 0]")
    found = asyncio.run(check_answer(ANSWER, Observations(tmp_path, (tmp_path,), "", (run,))))
    assert found.incomplete == ("command 1: a program ended early: Segmentation fault",)


def test_more_files_than_are_recorded_make_the_evidence_incomplete(tmp_path: Path) -> None:
    watch = FileWatch([tmp_path])
    for number in range(MAX_PATHS + 5):
        (tmp_path / f"{number}.txt").touch()
    found = watch.close()
    assert len(found.written) == MAX_PATHS
    assert found.missed == f"more than {MAX_PATHS} files"
    assert verdict(tmp_path, "", missed=found.missed).incomplete == (f"command 1: more than {MAX_PATHS} files",)


async def test_a_clock_that_was_set_back_does_not_make_typed_numbers_measured(bench: Bench) -> None:
    context = bench.context()
    known: dict[str, Any] = {"ok": True, "status": "done", "seconds": 1.0, "opened": [], "written": {}, "missed": ""}
    typed = {"tool": "write", "args": '{"path": "a.py", "content": "print(0.8125)"}', "text": "", "began": 900.0}
    printed = {"tool": "bash", "args": '{"command": "python3 a.py"}', "text": "accuracy=0.8125", "began": 100.0}
    for place, body in enumerate((typed, printed)):
        await bench.store.evidence.put(context.thread_id, "call", f"m/{place}", {**known, **body})
    assert (await check_answer(ANSWER, replace(await observe(context), level="quick"))).claims[0].state == "unsupported"


LEAK = """import numpy as np
a, b = np.loadtxt('train.csv'), np.loadtxt('test.csv')
m = LogisticRegression().fit(np.vstack([a, b])[:, :-1], y)
print('accuracy', accuracy_score(b[:, -1], m.predict(b[:, :-1])))
"""


def test_a_notebook_is_read_and_what_its_cells_printed_is_a_measurement(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "source": LEAK, "outputs": [{"output_type": "stream", "text": "accuracy 0.8125\n"}]}
    for name in ("a.ipynb", "out.ipynb"):
        (tmp_path / name).write_text(json.dumps({"cells": [cell]}))
    run = ran(tmp_path, "papermill a.ipynb out.ipynb", opened=["a.ipynb"], written=["out.ipynb"])
    found = asyncio.run(check_answer(ANSWER, Observations(tmp_path, (tmp_path,), "", (run,))))
    assert [one.state for one in found.claims] == ["held"]
    assert [one.path for one in found.findings] == ["a.ipynb"]


def test_code_that_a_program_makes_is_read_from_its_file_or_named_as_not_read(tmp_path: Path) -> None:
    (tmp_path / "generated.py").write_text(LEAK)
    assert verdict(tmp_path, "", command="python3 train.py && cd . && python3 generated.py").status == "contradicted"
    found = verdict(tmp_path, "exec(open('code.txt').read())")
    assert found.incomplete == ("command 1: the code that train.py made and ran with exec was not read",)
    assert verdict(tmp_path, "exec('x = 1')\nmodel.exec(code)").incomplete == ()


def test_code_that_was_removed_after_it_ran_is_named_as_not_read(tmp_path: Path) -> None:
    run = ran(tmp_path, text="accuracy=0.8125", opened=["made.py"])
    found = asyncio.run(check_answer(ANSWER, Observations(tmp_path, (tmp_path,), "", (run,))))
    assert found.incomplete == ("command 1: made.py was not read, since it was removed after it ran",)
    assert verdict(tmp_path, "").incomplete == ()


def test_a_program_without_python_is_checked_by_what_it_printed(tmp_path: Path) -> None:
    run = ran(tmp_path, "./score test.csv", text="accuracy=0.8125", opened=["score", "test.csv"])
    found = asyncio.run(check_answer(ANSWER, Observations(tmp_path, (tmp_path,), "", (run,), level="standard")))
    assert (found.status, found.incomplete) == ("held", ())


def test_what_worker_processes_open_and_write_is_seen(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "import multiprocessing\ndef one(n):\n    open(f'in{n}.txt').read(); open(f'out{n}.txt', 'w').close()\n"
        "if __name__ == '__main__':\n    with multiprocessing.get_context('spawn').Pool(2) as pool:\n"
        "        pool.map(one, range(6))\n"
    )
    for number in range(6):
        (tmp_path / f"in{number}.txt").write_text("x")
    found = used(tmp_path, "import runpy; runpy.run_path('work.py', run_name='__main__')")
    assert {str(tmp_path / f"in{number}.txt") for number in range(6)} <= set(found.opened)
    assert {str(tmp_path / f"out{number}.txt") for number in range(6)} <= set(found.written)


def test_a_large_artifact_is_digested_in_pieces(tmp_path: Path) -> None:
    with (tmp_path / "model.bin").open("wb") as file:
        file.truncate(200_000_000)
    tracemalloc.start()
    try:
        digest = content_digest(tmp_path / "model.bin")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert len(digest) == 64


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Let no file of this process grow beyond 200 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_statement_that_finds_no_room_is_named_and_not_left_in_part(tmp_path: Path, full_disk: None) -> None:
    (tmp_path / "model.pkl").write_bytes(b"x")
    run = ran(tmp_path, text="accuracy=0.8125", written=["model.pkl"])
    seen = Observations(tmp_path, (tmp_path,), "", (run,), level="standard")
    answer = f"{ANSWER} The model is model.pkl."
    written, problems = write_statements(answer, seen, asyncio.run(check_answer(answer, seen)))
    assert (written, problems) == ([], ["model.pkl.intoto.json was not written: File too large"])
    assert [path.name for path in tmp_path.iterdir()] == ["model.pkl"]


async def test_a_check_that_fails_marks_the_answer_and_leaves_the_goal_unmet(bench: Bench) -> None:
    context = bench.context()
    options = replace(context.options, verify="quick", goal="exit 0: true")
    state: Any = {"messages": [], "verification": {"answer": "gone", "state": "asked"}}
    found = await run_verification(state, context.thread_id, options, bench.services)
    made = AnswerVerdict.from_data(found["verification"]["verdict"])
    why = "the answer could not be checked: error: the answer is not in the conversation any more"
    assert (made.status, made.notes, made.goal and made.goal["state"]) == (
        "marked", [f"{why} [not checked]"], "unknown"
    )  # fmt: skip
    outcome = goal_outcome(made, "Done.", 0)
    assert outcome is not None
    assert (outcome["status"], outcome["exit_code"]) == ("failed", 1)
