"""Files that other programs obey: no mode lets git's control files change, and no unattended run changes the others."""

import pytest

from ml_intern.graph.limits import ApprovalMode
from ml_intern.safety.files.facts import FileFacts
from ml_intern.safety.policy import PolicyContext, Verdict, verdict
from ml_intern.safety.rule_settings import parse_rules
from tests.safety.files.attacks import GIT_COMMANDS, GIT_FILES, PROGRAM_COMMANDS, PROGRAM_FILES

MODES: tuple[ApprovalMode, ...] = ("ask", "auto", "yolo", "plan")
TAINT = ("a web page",)


def write(path: str, mode: ApprovalMode, **facts: object) -> Verdict:
    absolute = path if path.startswith("/") else f"/ws/{path}"
    given = PolicyContext(mode=mode, workspace="/ws", home="/home/u", paths=(absolute,), changed_paths=(absolute,))
    return verdict("write", {"path": path}, PolicyContext(**{**vars(given), **facts}))


def shell(command: str, mode: ApprovalMode, **facts: object) -> Verdict:
    given = PolicyContext(mode=mode, workspace="/ws", home="/home/u", paths=("/ws",), **facts)  # type: ignore[arg-type]
    return verdict("bash", {"command": command}, given)


@pytest.mark.parametrize(("attack", "twin"), GIT_FILES)
def test_git_control_files_are_refused_to_every_tool_in_every_mode(attack: str, twin: str) -> None:
    for mode in MODES:
        assert write(attack, mode).why.startswith("refused in every mode: it would change"), mode
    assert write(twin, "auto", taint=TAINT).kind == "allow"
    assert write(twin, "ask").kind == "ask"


@pytest.mark.parametrize(("attack", "twin"), PROGRAM_FILES)
def test_files_of_other_programs_are_refused_unattended_after_outside_text(attack: str, twin: str) -> None:
    assert write(attack, "auto", taint=TAINT).kind == "deny"
    assert write(attack, "auto").kind == "allow"
    assert write(attack, "ask").kind == "ask"
    assert "it would change" in write(attack, "ask").why
    assert write(twin, "auto", taint=TAINT).kind == "allow"


@pytest.mark.parametrize(("attack", "twin"), GIT_COMMANDS)
@pytest.mark.parametrize("sandboxed", [False, True])
def test_commands_that_change_git_control_files_are_refused_in_every_mode(
    attack: str, twin: str, *, sandboxed: bool
) -> None:
    kinds = {mode: shell(attack, mode, sandboxed=sandboxed).kind for mode in MODES}
    assert kinds == dict.fromkeys(MODES, "deny")
    assert shell(twin, "yolo", sandboxed=sandboxed).kind == "allow"
    assert shell(twin, "auto", sandboxed=sandboxed, taint=TAINT).kind == "allow"


@pytest.mark.parametrize("command", ["cp -a evil/. .", "rsync -a evil/ .", "cp -a evil/* sub", "cp -rt . evil/."])
def test_a_copy_of_a_folders_contents_must_not_bring_a_repository(command: str) -> None:
    holds = {"/ws/evil": ("a.txt", ".git/config")}
    facts = FileFacts(below=lambda path: holds.get(path.rstrip("/"), ()))
    assert shell(command, "yolo", files=facts).kind == "deny"
    assert shell(command.replace("evil", "data"), "yolo", files=facts).kind == "allow"


@pytest.mark.parametrize(("attack", "twin"), PROGRAM_COMMANDS)
@pytest.mark.parametrize("sandboxed", [False, True])
def test_commands_that_change_files_of_other_programs_are_judged_like_write(
    attack: str, twin: str, *, sandboxed: bool
) -> None:
    assert shell(attack, "auto", sandboxed=sandboxed, taint=TAINT).kind == "deny"
    assert shell(attack, "auto", sandboxed=sandboxed).kind == "allow"
    assert shell(attack, "ask", sandboxed=sandboxed).kind == "ask"
    assert shell(twin, "auto", sandboxed=sandboxed, taint=TAINT).kind == "allow"


def test_there_are_enough_attacks() -> None:
    assert sum(map(len, (GIT_FILES, PROGRAM_FILES, GIT_COMMANDS, PROGRAM_COMMANDS))) >= 150


def test_an_allow_rule_covers_such_files_unattended_only_with_a_path() -> None:
    wide, narrow = parse_rules({"allow": ["write"]}, "test"), parse_rules({"allow": ["write(.envrc)"]}, "test")
    assert write(".envrc", "auto", taint=TAINT, rules=wide).kind == "deny"
    assert write(".envrc", "auto", taint=TAINT, rules=narrow).kind == "allow"
    assert write(".git/config", "auto", rules=parse_rules({"allow": ["write(.git/**)"]}, "test")).kind == "deny"


def test_a_sub_agent_may_not_change_them() -> None:
    assert write("AGENTS.md", "ask", child=True).kind == "deny"


@pytest.mark.parametrize("pair", [*GIT_COMMANDS, *PROGRAM_COMMANDS])
def test_reasons_say_what_could_happen(pair: tuple[str, str]) -> None:
    assert "not known" not in shell(pair[0], "ask").why
    assert "no rule allows" not in shell(pair[0], "ask").why
