"""The installed program on a real terminal, typed at by a test."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.terminal.conftest import bash
from tests.terminal.driver import CTRL_C, CTRL_D, CTRL_J, ESCAPE, Terminal


def test_rejecting_with_a_reason_editing_and_going_on_later(start: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = start(
        bash("echo first > out.txt"), bash("echo second > out.txt"), {"text": "It is **done**."}, {"text": "More."}
    )
    terminal.prompt()
    terminal.type(f"make{CTRL_J}a file\r")
    assert "$ echo first > out.txt" in terminal.expect("View all of it")
    terminal.enter("another word")
    assert "rejected: another word" in terminal.expect("$ echo second > out.txt")
    terminal.expect("View all of it")
    terminal.enter("e")
    terminal.expect("edit: ")
    terminal.shows("Enter saves the change, Esc discards it")
    terminal.enter(" && echo third >> out.txt")
    terminal.expect("Yes, as edited")
    terminal.type("y\r")
    terminal.expect("It is done.")
    assert (tmp_path / "work" / "out.txt").read_text() == "second\nthird\n"
    terminal.prompt()
    terminal.enter("/exit")
    terminal.expect("continue with: ml-intern -r ")
    assert terminal.ended() == 0
    assert (tmp_path / "home" / "history").stat().st_mode & 0o777 == 0o600
    again = start(options=("-c",))
    again.expect("resumed 'make a file'")
    assert "bash echo second > out.txt" in again.expect("It is done.")
    again.prompt()
    again.enter("more")
    again.expect("More.")
    again.prompt()
    again.type(CTRL_D)
    assert again.ended() == 0


def test_a_resumed_thread_shows_the_users_message_and_not_a_note(start: Callable[..., Terminal]) -> None:
    plan = {"name": "plan", "args": {"steps": [{"text": "train", "status": "in_progress"}]}}
    terminal = start({"tool_calls": [plan]}, {"text": "bye"}, {"text": "bye"}, {"text": "It is over."})
    terminal.prompt()
    terminal.enter("train it")
    terminal.expect("It is over.")
    terminal.prompt()
    terminal.enter("/exit")
    assert terminal.ended() == 0
    again = start(options=("-c",))
    again.expect("resumed 'train it'")
    shown = again.expect("It is over.")
    assert "> train it" in shown
    assert "The plan has open steps" not in shown
    again.prompt()
    again.type(CTRL_D)
    assert again.ended() == 0


def test_compacting_a_short_thread_says_that_nothing_was_done(start: Callable[..., Terminal]) -> None:
    terminal = start({"text": "a"}, {"text": "b"}, {"summary": "A long summary of little. " * 20})
    for text in ("one", "two"):
        terminal.prompt()
        terminal.enter(text)
    terminal.prompt()
    terminal.enter("/compact")
    shown = terminal.expect("Nothing to compact")
    assert "conversation shortened" not in shown
    terminal.prompt()
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


def test_undo_shows_what_it_does_to_files_and_asks(start: Callable[..., Terminal], tmp_path: Path) -> None:
    made = tmp_path / "work" / "out.txt"
    terminal = start(bash("echo one > out.txt"), {"text": "It is done."}, options=("--yolo",))
    terminal.prompt()
    terminal.enter("make a file")
    terminal.expect("It is done.")
    terminal.prompt()
    terminal.enter("!cat out.txt; exit 4")
    terminal.expect("exit code 4")
    terminal.prompt()
    terminal.enter("/undo 1")
    assert "remove  out.txt" in terminal.expect("Files only")
    terminal.type(CTRL_C)
    terminal.expect("nothing was undone")
    assert made.exists()
    terminal.prompt()
    terminal.enter("/undo")
    terminal.expect("Go back to before which turn?")
    terminal.shows("remove  out.txt")
    terminal.type("\r")
    terminal.expect("Conversation only")
    terminal.type("b")
    terminal.expect("undone: 1 turn")
    assert not made.exists()
    terminal.prompt()
    terminal.shows("> make a file")
    terminal.type(CTRL_C)
    terminal.enter("/redo")
    terminal.expect("restored: 1 turn")
    assert made.exists()
    terminal.prompt()
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


def test_the_picker_lists_the_users_files_apart_and_offers_to_include_them(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    made, mine = tmp_path / "work" / "out.txt", tmp_path / "work" / "mine.txt"
    terminal = start(bash("echo one > out.txt"), {"text": "It is done."}, options=("--yolo",))
    terminal.prompt()
    terminal.enter("make a file")
    terminal.expect("It is done.")
    terminal.prompt()
    mine.write_text("by hand\n")
    terminal.type(f"{ESCAPE}{ESCAPE}")
    terminal.shows("remove  mine.txt")
    terminal.shows("changed by you, kept unless you include them:")
    terminal.type("\r")
    terminal.expect("also those you changed")
    terminal.type("b")
    terminal.expect("undone: 1 turn")
    assert (made.exists(), mine.exists()) == (False, True)
    terminal.prompt()
    terminal.shows("> make a file")
    terminal.type(CTRL_C)
    terminal.enter("/redo")
    terminal.expect("restored: 1 turn")
    assert made.exists()
    terminal.prompt()
    terminal.enter("/undo 1")
    terminal.expect("also those you changed")
    terminal.type("a\r")
    terminal.expect("undone: 1 turn")
    assert (made.exists(), mine.exists()) == (False, False)
    terminal.prompt()
    terminal.shows("> make a file")
    terminal.type(CTRL_C)
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


def test_esc_esc_chooses_the_turn_to_go_back_to(start: Callable[..., Terminal], tmp_path: Path) -> None:
    made = tmp_path / "work" / "out.txt"
    steps = ({"text": "Nothing yet."}, bash("echo one > out.txt"), {"text": "It is done."}, {"text": "Good."})
    terminal = start(*steps, options=("--yolo",))
    for message, answer in (("hello", "Nothing yet."), ("make a file", "It is done."), ("thanks", "Good.")):
        terminal.prompt()
        terminal.enter(message)
        terminal.expect(answer)
    terminal.prompt()
    terminal.type(f"{ESCAPE}{ESCAPE}")
    terminal.expect("Go back to before which turn?")
    terminal.type("make")
    terminal.shows("make 1/3")
    terminal.shows("remove  out.txt")
    terminal.type("\r")
    terminal.expect("Conversation only")
    terminal.type("c")
    terminal.expect("undone: 2 turns")
    assert made.exists()
    terminal.prompt()
    terminal.shows("> make a file")
    terminal.type(CTRL_C)
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


def test_ctrl_c_interrupts_the_turn_and_twice_leaves(start: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = start(bash("touch began; sleep 600"), bash("sleep 600"), {"text": "later"}, options=("--yolo",))
    terminal.prompt()
    terminal.enter("go")
    while not (tmp_path / "work" / "began").exists():
        time.sleep(0.05)
    terminal.type(CTRL_C)
    terminal.expect("may have run in part: bash")
    terminal.prompt()
    terminal.type(CTRL_C)
    terminal.expect("Ctrl-C again, or Ctrl-D, quits")
    terminal.type(CTRL_C)
    assert terminal.ended() == 0


def test_keys_typed_before_a_question_do_not_answer_it(start: Callable[..., Terminal], tmp_path: Path) -> None:
    step = {**bash("touch evil"), "delay": 2}
    terminal = start(step, {"text": "fine"}, {"text": "To y."})
    terminal.prompt()
    terminal.enter("go")
    terminal.expect("thinking")
    terminal.enter("y")
    terminal.expect("queued: y")
    terminal.expect("View all of it")
    terminal.enter("n")
    terminal.expect("fine")
    terminal.expect("To y.")
    assert not (tmp_path / "work" / "evil").exists()
    terminal.prompt()
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


def test_leaving_a_question_keeps_it_for_the_next_start(start: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = start(bash("touch made"), {"text": "fine"})
    terminal.prompt()
    terminal.enter("go")
    terminal.expect("View all of it")
    terminal.type(CTRL_D)
    terminal.expect("you are asked again when you resume")
    assert terminal.ended() == 0
    again = start(options=("-r",))
    again.expect("Continue which thread?")
    again.shows("> go")
    again.type("\r")
    assert "$ touch made" in again.expect("View all of it")
    again.type("y\r")
    again.expect("fine")
    assert (tmp_path / "work" / "made").exists()
    again.process.send_signal(signal.SIGTERM)
    assert again.ended() == 143


def test_the_slash_commands_answer(start: Callable[..., Terminal], tmp_path: Path) -> None:
    (tmp_path / "work" / "notes.txt").write_text("remember")
    (tmp_path / "work" / "other.yaml").write_text("- text: other")
    hangs = {"command": "sleep", "args": ["60"], "startup_timeout_s": 6}
    options = ("--ephemeral", "--set", f"mcpServers.slow={json.dumps(hangs)}")
    terminal = start({"text": "one"}, {"text": "two"}, {"text": "three"}, options=options)
    terminal.prompt()
    terminal.enter("see @notes.txt")
    terminal.expect("added notes.txt")
    for line, said in (
        ("/help", "@path mentions a file"),
        ("/hepl", "did you mean /help?"),
        ("/cost", "1 request, "),
        ("/status", "approval ask"),
        ("/tools", "bash"),
        ("/doctor", "bwrap"),
        ("/plan", "no plan yet"),
        ("/permissions", "no rules in the settings"),
        ("/permissions test rm notes.txt", "ask:"),
        ("/permissions remove 7", "no answer 7"),
        ("/yolo", "only deny rules apply"),
        ("/yolo", "you are asked before calls"),
        ("/copy", "copied 3 characters"),
        ("/copy code", "the last answer has 0 code blocks"),
        ("/effort high", "reasoning effort: high"),
        ("/effort off", "reasoning effort: off"),
        ("/model scripted:other.yaml", "model: scripted:other.yaml"),
        ("/model scripted:gone.yaml", "cannot read the script"),
        ("/model nonsense/x", "unknown provider 'nonsense'"),
        ("/rename A title", "now called 'A title'"),
        ("/status", "A title"),
        ("/redo", "nothing to redo"),
        ("/fork", "resumed 'A title (fork)'"),
        ("/new", "new thread"),
        ("/undo 1", "nothing to undo"),
        ("/undo", "there is nothing to undo"),
        ("/resume A title", "resumed 'A title'"),
        ("/mcp", "no response within 6 s"),
    ):
        terminal.prompt()
        terminal.enter(line)
        terminal.expect(line)
        terminal.expect(said)
    terminal.prompt()
    terminal.type(f"{ESCAPE}{ESCAPE}")
    terminal.shows("no files change")
    terminal.type("\r")
    terminal.expect("undone: 1 turn")
    terminal.prompt()
    terminal.shows("> see @notes.txt")
    terminal.type(CTRL_C)
    terminal.type(CTRL_D)
    assert terminal.ended() == 0
    assert not (tmp_path / "home").exists()


def test_a_plan_is_made_without_changes_and_carried_out_when_it_is_accepted(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start(
        bash("touch early"),
        {"text": "The plan."},
        bash("touch made"),
        {"text": "Done."},
        options=("--approval-mode", "plan"),
    )
    terminal.prompt()
    terminal.enter("make it")
    terminal.expect("type /plan accept to carry out the plan")
    assert not (tmp_path / "work" / "early").exists()
    terminal.prompt()
    terminal.enter("/plan accept")
    assert "$ touch made" in terminal.expect("View all of it")
    terminal.type("y\r")
    terminal.expect("Done.")
    terminal.prompt()
    terminal.enter("/plan accept")
    terminal.expect("plan mode is off")
    terminal.prompt()
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


@pytest.mark.parametrize("word", ["exit", "Quit"])
def test_a_bare_word_leaves(start: Callable[..., Terminal], word: str) -> None:
    terminal = start({"text": "unused"})
    terminal.prompt()
    terminal.enter(word)
    assert terminal.ended() == 0


def test_each_call_of_a_list_has_its_own_answer(start: Callable[..., Terminal], tmp_path: Path) -> None:
    after = {"text": "Understood.", "expect": "a different folder please"}
    terminal = start({"tool_calls": [*bash("touch one")["tool_calls"], *bash("touch two")["tool_calls"]]}, after)
    terminal.prompt()
    terminal.enter("go")
    terminal.expect("Yes to all 2 pending calls")
    terminal.type("y\r")
    terminal.shows("1 bash touch one  yes")
    terminal.enter("use a different folder please")
    terminal.expect("Understood.")
    assert [(tmp_path / "work" / name).exists() for name in ("one", "two")] == [True, False]
    terminal.prompt()
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


def test_always_in_this_thread_is_not_asked_again(start: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = start(bash("touch one"), bash("touch two"), bash("mkdir three"), {"text": "Done."})
    terminal.prompt()
    terminal.enter("go")
    assert "commands that begin with `touch`" in terminal.expect("View all of it")
    terminal.enter("t")
    terminal.expect("$ mkdir three")
    terminal.expect("View all of it")
    assert (tmp_path / "work" / "two").exists()
    terminal.enter("n")
    terminal.expect("Done.")
    terminal.prompt()
    terminal.enter("/permissions")
    terminal.expect("touch ...  (in thread")
    terminal.prompt()
    terminal.enter("/permissions remove 1")
    terminal.expect("removed answer 1")
    terminal.prompt()
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


def test_an_interrupted_call_stays_with_its_last_lines(start_unasked: Callable[..., Terminal]) -> None:
    terminal = start_unasked(bash("seq 20; sleep 100"), {"text": "No more."})
    terminal.prompt()
    terminal.enter("go")
    terminal.shows("  20")
    terminal.type(ESCAPE)
    terminal.expect("interrupted by the user")
    terminal.prompt()
    rows = [row.rstrip() for row in terminal.screen.display]
    place = next(number for number, row in enumerate(rows) if "bash seq 20; sleep 100" in row)
    assert rows[place].endswith("s, interrupted")
    assert rows[place + 1 : place + 7] == ["  … 15 more lines", "  16", "  17", "  18", "  19", "  20"]


def test_a_message_of_one_very_long_line_is_sent_whole_and_shown_by_its_beginning(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start({"text": "Understood."})
    terminal.prompt()
    terminal.type(f"\x1b[200~{'x' * 100_000}\x1b[201~")
    terminal.expect("100000 characters]")
    terminal.type("\r")
    terminal.expect("96,000 more characters)")
    terminal.expect("Understood.")
    terminal.prompt()
    terminal.enter("/export whole.md")
    terminal.expect("wrote ")
    assert "x" * 100_000 in (tmp_path / "work" / "whole.md").read_text()
