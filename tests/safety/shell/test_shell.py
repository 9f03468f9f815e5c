import glob
import json
import os
from pathlib import Path

import pytest

from ml_intern.safety.shell.analysis import MAX_COMMAND, classify
from ml_intern.safety.shell.invocations import MAX_INVOCATIONS
from ml_intern.safety.shell.paths import CommandContext

DATA = Path(__file__).parent.parent / "data"
PLACE = CommandContext("/ws", home="/home/u")


def load(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


CORPUS = load("shell_commands.jsonl")
OWN = load("own_shell_commands.jsonl")


def misjudged(cases: list[dict[str, str]], key: str, *, sandboxed: bool = False) -> dict[str, tuple[str, str]]:
    """Return the commands whose verdict differs from their label, with both."""
    verdicts = {
        case["command"]: (classify(case["command"], PLACE, sandboxed=sandboxed).kind, case[key]) for case in cases
    }
    return {command: both for command, both in verdicts.items() if both[0] != both[1]}


def test_every_labelled_command_gets_its_verdict() -> None:
    assert len(CORPUS) > 150
    assert len(OWN) > 800
    assert misjudged(CORPUS, "expected") == {}
    assert misjudged(OWN, "expected") == {}


def test_the_sandbox_allows_no_command_labelled_otherwise() -> None:
    labelled = [case for case in CORPUS if case["expected_sandboxed"] != "auto"]
    assert misjudged(labelled, "expected_sandboxed", sandboxed=True) == {}


def test_at_least_95_percent_of_sandboxable_commands_run_unasked() -> None:
    sandboxable = [case for case in CORPUS if case["expected_sandboxed"] == "auto"]
    unasked = [case for case in sandboxable if classify(case["command"], PLACE, sandboxed=True).kind == "auto"]
    assert len(unasked) >= 0.95 * len(sandboxable)


def test_denied_commands_are_denied_in_the_sandbox_too() -> None:
    denied = [case for case in OWN if case["expected"] == "deny"]
    assert misjudged(denied, "expected", sandboxed=True) == {}


def test_every_verdict_has_a_reason() -> None:
    assert all(classify(case["command"], PLACE).why for case in [*CORPUS, *OWN])


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("for i in 1 2; do if [ -e a ]; then ls; fi; done", "a for loop and a condition"),
        ("A=1; python x.py $A $(date) &", "a variable, the output of another command and a command in the background"),
        (
            "while read a; do { f() { ls; }; }; done <<< b",
            "a while loop, a function, a here-string and a group of commands",
        ),
    ],
)
def test_a_reason_names_shell_syntax_in_words(command: str, named: str) -> None:
    assert classify(command, PLACE).why == f"it uses {named}, which can start other programs or write files"


def test_a_reason_to_ask_in_the_sandbox_names_the_syntax_too() -> None:
    why = classify("while read a; do ls; done", PLACE, sandboxed=True).why
    assert why == "it uses a while loop that may hide what would run"


def test_leaving_a_script_with_any_exit_code_is_not_asked_about_in_the_sandbox() -> None:
    assert classify("for i in 1 2; do echo $i; done; exit 2", PLACE, sandboxed=True).kind == "auto"
    assert classify("echo hi; exit $(rm -rf ../x)", PLACE, sandboxed=True).kind != "auto"


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
def test_too_long_commands_are_denied_and_long_ones_classified(unit: str) -> None:
    assert classify(unit * (1_000_000 // len(unit)), PLACE).kind == "deny"
    assert classify(unit * (MAX_COMMAND // len(unit) // 8), PLACE).kind in {"ask", "deny"}
    assert classify(unit * MAX_INVOCATIONS, PLACE).kind in {"ask", "deny", "auto"}


def test_a_command_with_too_many_programs_is_denied_with_a_remedy() -> None:
    assert classify("ls;" * MAX_INVOCATIONS, PLACE).kind == "auto"
    assert "put it into a script file" in classify("ls;" * (MAX_INVOCATIONS + 1), PLACE).why
    assert classify("cd a;" * MAX_INVOCATIONS, PLACE).why == "too many cd commands"


def real_place(folder: Path) -> CommandContext:
    return CommandContext(
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


def test_wildcards_that_may_match_option_like_names_are_asked_about(tmp_path: Path) -> None:
    (tmp_path / "-rf").write_text("x")
    assert classify("sort *", real_place(tmp_path)).kind == "ask"
    assert classify("sort ./*", real_place(tmp_path)).kind == "auto"
