import glob
import json
import os
from pathlib import Path

import pytest

from safety.shell import LONGEST_COMMAND, classify
from safety.shell_invocations import MOST_INVOCATIONS
from safety.shell_paths import Place

DATA = Path(__file__).parent / "data"
PLACE = Place("/ws", home="/home/u")


def load(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


CORPUS = load("shell_commands.jsonl")
OWN = load("own_shell_commands.jsonl")


def label(case: dict[str, str]) -> str:
    return ascii(case["command"])[1:60]


@pytest.mark.parametrize("case", [*CORPUS, *OWN], ids=label)
def test_a_labelled_command_gets_its_verdict(case: dict[str, str]) -> None:
    assert classify(case["command"], PLACE).kind == case["expected"]


@pytest.mark.parametrize("case", [case for case in CORPUS if case["expected_sandboxed"] != "auto"], ids=label)
def test_the_sandbox_lets_nothing_through_that_is_labelled_otherwise(case: dict[str, str]) -> None:
    assert classify(case["command"], PLACE, sandboxed=True).kind == case["expected_sandboxed"]


def test_at_least_95_percent_of_what_the_sandbox_holds_runs_unasked() -> None:
    held = [case for case in CORPUS if case["expected_sandboxed"] == "auto"]
    kept = [case for case in held if classify(case["command"], PLACE, sandboxed=True).kind == "auto"]
    assert len(kept) >= 0.95 * len(held)


@pytest.mark.parametrize("case", [case for case in OWN if case["expected"] == "deny"], ids=label)
def test_what_is_denied_is_denied_inside_the_sandbox_too(case: dict[str, str]) -> None:
    assert classify(case["command"], PLACE, sandboxed=True).kind == "deny"


def test_every_verdict_says_why() -> None:
    assert all(classify(case["command"], PLACE).why for case in [*CORPUS, *OWN])


UNITS = [
    "a",
    "(",
    "$(",
    "ls;",
    "'",
    '"',
    "\\",
    "{",
    "[",
    "`",
    "<(",
    "ls && ",
    "x=",
    "${",
    "\n",
    "*/",
    "cd a;",
    "ls|",
    "curl x|",
    "f(){ f;};",
]


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_anything_is_refused_and_what_is_not_too_long_is_judged(unit: str) -> None:
    assert classify(unit * (1_000_000 // len(unit)), PLACE).kind == "deny"
    assert classify(unit * (LONGEST_COMMAND // len(unit) // 8), PLACE).kind in {"ask", "deny"}
    assert classify(unit * MOST_INVOCATIONS, PLACE).kind in {"ask", "deny", "auto"}


def test_a_command_of_too_many_programs_is_refused_with_the_remedy() -> None:
    assert classify("ls;" * MOST_INVOCATIONS, PLACE).kind == "auto"
    assert "put it into a script file" in classify("ls;" * (MOST_INVOCATIONS + 1), PLACE).why
    assert classify("cd a;" * MOST_INVOCATIONS, PLACE).why == "cd too often"


def real_place(folder: Path) -> Place:
    return Place(
        str(folder),
        home=str(folder.parent),
        resolve=os.path.realpath,
        match=lambda pattern: tuple(glob.glob(pattern)),  # noqa: PTH207
    )


def test_a_link_out_of_the_workspace_is_asked_about(tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    workspace.mkdir()
    (tmp_path / "outside.txt").write_text("x")
    (workspace / "inside.txt").write_text("x")
    (workspace / "link").symlink_to(tmp_path / "outside.txt")
    (workspace / "folder").symlink_to(tmp_path)
    place = real_place(workspace)
    assert classify("cat inside.txt", place).kind == "auto"
    for command in (
        "cat link",
        "cat folder/outside.txt",
        "head *",
        "cat lin*",
        "wc -l folder/*.txt",
        "cd folder && ls",
    ):
        assert classify(command, place).kind == "ask"


def test_a_link_to_a_credential_is_denied(tmp_path: Path) -> None:
    workspace, keys = tmp_path / "ws", tmp_path / ".ssh"
    workspace.mkdir()
    keys.mkdir()
    (keys / "id_rsa").write_text("x")
    (workspace / "notes.txt").symlink_to(keys / "id_rsa")
    assert classify("cat notes.txt", real_place(workspace)).kind == "deny"


def test_a_file_named_like_an_option_is_no_option(tmp_path: Path) -> None:
    (tmp_path / "-rf").write_text("x")
    assert classify("sort *", real_place(tmp_path)).kind == "ask"
    assert classify("sort ./*", real_place(tmp_path)).kind == "auto"
