"""Tool calls and diffs as rows."""

from typing import Any

import pytest

from ml_intern.terminal.blocks.call import KEY, command, finished, running
from ml_intern.terminal.blocks.diff import diff_rows, new_file, parse_diff
from ml_intern.terminal.theme import Theme
from ml_intern.tools.local.diffs import diff
from tests.terminal.screens import HOSTILE, PROSE, compare, words_are_whole

BASH = {"command": "uv run python train.py --epochs 20 --learning-rate 3e-4 --output runs/baseline"}
BEFORE = (
    "import torch\n\nlr = 1e-2\nepochs = 3\n\n\ndef main():\n    train(lr, epochs)\n" + "# tail\n" * 30 + "main()\n"
)
AFTER = BEFORE.replace("lr = 1e-2", "lr = 3e-4  # a much smaller learning rate, since the loss diverged after step 40")
AFTER = AFTER.replace("main()\n" + "", "main()\n").replace(
    "# tail\nmain()", "# tail\nif __name__ == '__main__':\n    main()"
)


def ended(text: str, *, ok: bool = True, status: str = "done") -> dict[str, Any]:
    return {"text": text, "ok": ok, "status": status, "seconds": 12.4}


def test_a_running_call_shows_its_last_lines() -> None:
    lines = [f"step {number}: loss {1 / (number + 1):.4f}" for number in range(40)]
    compare("call_running", running("bash", BASH, 3.2, lines[-9:], 40).rows)


def test_a_finished_call_shows_its_last_lines_and_its_exit_code() -> None:
    text = "\n".join(f"step {number}: {PROSE}" for number in range(12)) + "\n[exit code 0]"
    compare("call_done", finished("bash", BASH, ended(text)).rows)


def test_a_failed_call_shows_the_end_of_its_output_in_full() -> None:
    trace = [f'  File "train.py", line {number}, in step_{number}' for number in range(20)]
    text = "\n".join(
        ["Traceback (most recent call last):", *trace, "ValueError: the columns do not match", "[exit code 1]"]
    )
    rows = finished("bash", BASH, ended(text, ok=False, status="failed")).rows(80, Theme("none"))
    assert sum("File" in row for row in rows) == len(trace)
    assert "exit code 1" in rows[0] + rows[1]
    assert rows[-1].strip() == "ValueError: the columns do not match"


def test_a_call_that_did_not_run_says_why() -> None:
    data = ended("Not run: the user rejected it. use uv", ok=False, status="rejected")
    compare("call_rejected", finished("bash", BASH, data).rows)


def test_a_typed_command_is_shown_in_full() -> None:
    text = "\n".join(f"line {number}" for number in range(300)) + "\n[exit code 0]"
    rows = command("bash", {"command": "cat train.py"}, ended(text)).rows(80, Theme("none"))
    assert [row.strip() for row in rows[1:]] == [f"line {number}" for number in range(300)]


def test_the_key_is_named_where_lines_are_left_out() -> None:
    text = "\n".join(str(number) for number in range(9))
    rows = finished("bash", BASH, ended(text)).rows(100, Theme("none"))
    assert any(KEY in row and "4 more lines" in row for row in rows)


def test_hostile_output_stays_in_its_rows() -> None:
    block = finished("bash", {"command": f"echo {HOSTILE}"}, ended(f"{HOSTILE}\n{HOSTILE * 30}\n[exit code 0]"))
    compare("call_hostile", block.rows)


def test_an_edit_shows_a_diff_with_line_numbers() -> None:
    text = f"Edited train.py.\n{diff(BEFORE, AFTER, 'train.py')}"
    compare("call_edit", finished("edit", {"path": "train.py"}, ended(text)).rows)


def test_a_new_file_shows_its_lines() -> None:
    args = {"path": "notes/result.md", "content": f"# Result\n\n{PROSE}\n{HOSTILE}\n"}
    compare("call_write", finished("write", args, ended("Created notes/result.md: 4 lines, 200 bytes.")).rows)


@pytest.mark.parametrize("lines", [1, 40, 60, 500])
def test_a_long_diff_says_how_much_is_left_out(lines: int) -> None:
    rows = diff_rows(new_file("x\n" * lines), 80, Theme("none"), 40)
    assert len(rows) == min(lines, 41)
    assert lines <= 40 or f"{lines - 40} more line" in rows[-1]


def test_the_numbers_of_a_diff_are_those_of_the_file() -> None:
    found = parse_diff(diff(BEFORE, AFTER, "train.py"))
    old, new = BEFORE.splitlines(), AFTER.splitlines()
    for line in found:
        if line.number:
            assert (old if line.kind == "removed" else new)[line.number - 1] == line.text


def test_words_of_a_diff_are_not_broken() -> None:
    for width in (40, 50, 80):
        words_are_whole(PROSE, diff_rows(new_file(PROSE), width, Theme("none")), width)
