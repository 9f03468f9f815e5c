"""Whatever ran, the check of an answer ends, and says what it could not see."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_intern.evidence.gate import check_answer
from ml_intern.evidence.observations import Observations, observe
from ml_intern.evidence.verdict import AnswerVerdict
from ml_intern.execution.recording.file_watch import MAX_PATHS, FileWatch
from tests.evidence.test_gate import ran
from tests.execution.conftest import Bench

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
