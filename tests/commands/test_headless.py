"""Headless runs: formats, exit codes, limits, what goes to which stream, and the result that always comes last."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_intern.graph.events import EVENTS
from ml_intern.store.ledger import COUNT_NAMES
from tests.commands.conftest import Done, call

Run = Callable[..., Done]
Script = Callable[..., str]


def test_the_answer_goes_to_stdout_and_the_rest_to_stderr(run: Run, script: Script) -> None:
    model = script({"text": "Let me see.", "tool_calls": [call("bash", command="echo hi")]}, {"text": "It says *hi*."})
    done = run("-m", model, "say hi")
    assert done.code == 0
    assert done.out == "It says *hi*.\n"
    assert done.err.splitlines()[1:-1] == ["  Let me see."]
    assert re.fullmatch(r"\+ bash echo hi \(\d+\.\d s\)", done.err.splitlines()[-1])
    assert "\x1b" not in done.out + done.err


def test_quiet_leaves_only_the_answer(run: Run, script: Script) -> None:
    done = run("-q", "-m", script({"text": "yes"}), "go")
    assert (done.out, done.err) == ("yes\n", "")


def test_verbose_shows_the_output_of_tools(run: Run, script: Script) -> None:
    done = run("--verbose", "-m", script({"tool_calls": [call("bash", command="echo deep")]}, {"text": "ok"}), "go")
    assert "  deep\n" in done.err


def test_json_is_one_object_with_the_frozen_keys(run: Run, script: Script) -> None:
    result = run("--output-format", "json", "-m", script({"text": "yes"}), "go").json
    assert tuple(result) == EVENTS["result"].fields
    assert tuple(result["usage"]) == (*COUNT_NAMES, "by_source")
    (row,) = result["usage"]["by_source"]
    assert tuple(row) == ("source", "model", *COUNT_NAMES, "cost_usd")
    assert (result["status"], result["exit_code"], result["text"], result["iterations"]) == ("done", 0, "yes", 1)
    assert result["usage"]["requests"] == 1
    assert result["cost_usd"] == 0.0


def test_stream_json_begins_with_ready_and_ends_with_result(run: Run, script: Script) -> None:
    model = script({"tool_calls": [call("bash", command="echo hi")]}, {"text": "yes ünï\u2028code"})
    done = run("--output-format", "stream-json", "-m", model, "go")
    events = done.events
    assert done.err == ""
    assert [event["type"] for event in (events[0], events[-1])] == ["ready", "result"]
    assert all(tuple(event) == ("type", "thread_id", "seq", "time", "data") for event in events)
    assert all(tuple(sorted(event["data"])) == tuple(sorted(EVENTS[event["type"]].fields)) for event in events)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["thread_id"] for event in events} == {events[0]["thread_id"]}
    assert events[-1]["data"]["text"] == "yes ünï\u2028code"
    assert "turn_complete" in [event["type"] for event in events]


def test_no_stream_sends_no_chunks(run: Run, script: Script) -> None:
    done = run("--no-stream", "--output-format", "stream-json", "-m", script({"text": "a b c"}), "go")
    assert "assistant_chunk" not in [event["type"] for event in done.events]


def test_stdin_is_the_prompt_or_a_block_after_it(run: Run, script: Script, stdin: Callable[[bytes], None]) -> None:
    stdin(b"\xef\xbb\xbfpiped \xff\x00in\n")
    alone = run("--output-format", "stream-json", "-m", script({"text": "ok"}))
    both = run("--output-format", "stream-json", "-m", script({"text": "ok"}), "look at this")
    dash = run("--output-format", "stream-json", "-m", script({"text": "ok"}), "-")
    assert _prompt(alone) == _prompt(dash) == "piped \ufffd\ufffdin\n"
    assert _prompt(both) == "look at this\n\n<stdin>\npiped \ufffd\ufffdin\n</stdin>"


def _prompt(done: Done) -> str:
    text: str = next(event["data"]["text"] for event in done.events if event["type"] == "processing")
    return text


def test_a_long_prompt_is_taken_and_one_beyond_the_window_as_well(
    run: Run, script: Script, stdin: Callable[[bytes], None]
) -> None:
    stdin(b"word " * 100_000)
    assert run("-m", script({"text": "long"})).out == "long\n"
    stdin(b"word " * 200_000)
    assert run("-m", script({"text": "longer"})).out == "longer\n"


@pytest.mark.parametrize("argv", [[], ["-p"], ["  "], ["-"]])
def test_nothing_to_do_is_a_usage_error(run: Run, argv: list[str]) -> None:
    done = run(*argv)
    assert (done.code, done.out) == (2, "")
    assert done.err == 'ml-intern: no prompt was given (use ml-intern "PROMPT", or pipe the prompt in)\n'


def test_without_any_key_one_line_names_the_ways_to_a_model(run: Run) -> None:
    done = run("hello")
    assert done.code == 78
    assert len(done.err.splitlines()) == 1
    for way in (
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "HF_TOKEN",
        ".env",
        "ollama/NAME",
        "--base-url",
        "ml-intern demo",
    ):
        assert way in done.err


def test_with_another_key_a_model_is_picked_and_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake")
    done = run("doctor", "--json")
    assert done.json["model"]["model"].startswith("openai/")
    assert "OPENAI_API_KEY is set" in done.json["model"]["note"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--nonsense", "x"], 2, "no such option: --nonsense"),
        (["--effort", "huge", "x"], 2, "'huge' is not one of"),
        (["--max-iterations", "many", "x"], 2, "--max-iterations"),
        (["--max-iterations", "0", "-m", "scripted:x", "x"], 2, "max_iterations in command line: must be 1 or more"),
        (["--max-budget-usd", "-3", "-m", "scripted:x", "x"], 2, "is not a valid budget"),
        (["--timeout", "soon", "x"], 2, "not a valid duration"),
        (["-C", "/nowhere", "x"], 2, "-C: folder /nowhere does not exist"),
        (["--add-dir", "/nowhere", "-m", "scripted:x", "x"], 2, "--add-dir: folder /nowhere does not exist"),
        (["-c", "-r", "a", "x"], 2, "exclude each other"),
        (["--fork", "x"], 2, "--fork needs"),
        (["--ephemeral", "-c", "x"], 2, "--ephemeral saves no threads"),
        (["--yolo", "--approval-mode", "ask", "x"], 2, "--yolo contradicts"),
        (["-c", "x"], 2, "no thread exists for"),
        (["-r", "nobody", "x"], 2, "there is no thread 'nobody'"),
        (["-r", "-p", "x"], 2, "-r without a thread needs a terminal"),
        (["--sandbox-tools", "-m", "scripted:x", "x"], 78, "sandbox"),
        (["--base-url", "http://127.0.0.1:1/v1", "x"], 2, "needs a model name"),
        (["-m", "nonsense", "x"], 78, "nonsense"),
        (["-m", "openai/gpt-5", "x"], 78, "OPENAI_API_KEY"),
        (["-m", "scripted:/nowhere.yaml", "x"], 78, "nowhere.yaml"),
        (["--output-schema", "/nowhere", "x"], 2, "--output-schema"),
        (["--config", "/nowhere", "x"], 2, "--config: no such file"),
        (["--set", "modle_name=x", "x"], 2, "did you mean 'model_name'"),
        (["--set", "max_iterations=many", "x"], 2, "max_iterations in --set"),
        (["thread"], 2, "did you mean 'threads'"),
    ],
)
def test_every_failure_is_one_line_with_its_exit_code(run: Run, argv: list[str], code: int, said: str) -> None:
    done = run("-q", *argv)
    assert done.code == code
    assert done.out == ""
    assert done.err.startswith("ml-intern: ")
    assert len(done.err.splitlines()) == 1
    assert said in done.err


def test_a_failure_before_the_session_still_ends_with_a_result(run: Run) -> None:
    done = run("--output-format", "stream-json", "hello")
    (event,) = done.events
    assert event["type"] == "result"
    assert (event["data"]["status"], event["data"]["exit_code"]) == ("failed", 78)
    assert done.code == 78


def test_asking_stops_resumably_with_exit_3(run: Run, script: Script, place: Path) -> None:
    model = script({"tool_calls": [call("bash", command="touch here")]}, {"text": "done"})
    asked = run("--no-sandbox", "--approval-mode", "ask", "--output-format", "json", "-m", model, "go")
    assert asked.code == asked.json["exit_code"] == 3
    assert asked.json["status"] == "waiting"
    assert f"ml-intern approve {asked.json['thread_id']}" in asked.err
    assert not (place / "here").exists()
    assert run("threads", "list", "--json").json[0]["state"] == "waiting"
    again = run("-c", "-m", model, "never mind")
    assert (again.code, again.out) == (0, "done\n")
    assert not (place / "here").exists()


def test_the_iteration_limit_is_exit_124(run: Run, script: Script) -> None:
    steps = [{"tool_calls": [call("bash", command=f"echo {number}")]} for number in range(3)]
    done = run("--max-iterations", "2", "--output-format", "json", "-m", script(*steps), "go")
    assert (done.code, done.json["status"], done.json["iterations"]) == (124, "limit", 2)
    assert "limit of 2 model calls" in done.err


def test_the_time_limit_is_exit_124_and_leaves_the_thread_usable(run: Run, script: Script) -> None:
    model = script({"tool_calls": [call("bash", command="sleep 60")]}, {"text": "later"})
    done = run("--timeout", "0.5s", "--output-format", "json", "-m", model, "go")
    assert (done.code, done.json["status"]) == (124, "limit")
    assert "time limit of 0.5s" in done.err
    assert run("-c", "-m", model, "and now").out == "later\n"


def test_a_turn_that_the_time_limit_ended_continues_without_a_prompt(run: Run, script: Script, place: Path) -> None:
    wait = "until [ -e go ]; do sleep 0.05; done"
    model = script(
        *({"tool_calls": [call("bash", command=one)]} for one in ("echo x >> log", wait)), {"text": "all done"}
    )
    ended = run("--timeout", "2s", "--no-sandbox", "-m", model, "go")
    assert (ended.code, "continue the turn with: ml-intern -r " in ended.err) == (124, True)
    (place / "go").touch()
    again = run("-c", "-m", model)
    assert (again.code, again.out) == (0, "all done\n")
    assert (place / "log").read_text().count("x") <= 1
    assert run("-c", "-m", model).code == 2


def test_a_failed_turn_is_not_an_answer(run: Run, script: Script) -> None:
    done = run("-m", script({"error": {"status": 401, "message": "bad key"}, "text": "x"}), "go")
    assert done.code != 0
    assert done.out == ""
    assert done.err.splitlines()[-1].startswith("ml-intern: ")


def test_ephemeral_leaves_nothing_on_disk(run: Run, script: Script, place: Path) -> None:
    before = sorted(place.parent.rglob("*"))
    model = script({"tool_calls": [call("bash", command="seq 100000")]}, {"text": "ok"})
    assert run("--ephemeral", "-m", model, "go").out == "ok\n"
    left = set(place.parent.rglob("*")) - set(before)
    assert {path.name for path in left} == {Path(model.removeprefix("scripted:")).name}


def test_a_thread_is_not_kept_where_the_settings_say_so_and_goes_on_when_it_is_there(
    run: Run, script: Script, place: Path
) -> None:
    assert run("-m", script({"text": "kept"}), "go").code == 0
    (place.parent / "home" / "cli_agent_config.json").write_text('{"save_sessions": false}')
    assert run("-m", script({"text": "not kept"}), "go").code == 0
    assert run("-c", "-m", script({"text": "kept"}, {"text": "more"}), "go on").code == 0
    (row,) = run("threads", "list", "--json").json
    assert row["turns"] == 2


def test_the_title_of_a_thread_is_the_prompt_without_the_files_it_mentions(
    run: Run, script: Script, place: Path
) -> None:
    (place / "notes.txt").write_text("a note\n")
    assert run("-m", script({"text": "ok"}), "read @notes.txt").code == 0
    (row,) = run("threads", "list", "--json").json
    assert row["title"] == "read @notes.txt"


def test_continue_fork_and_resume_find_their_thread(run: Run, script: Script) -> None:
    model = script({"text": "one"}, {"text": "two"}, {"text": "three"})
    first = run("--output-format", "json", "-m", model, "first").json["thread_id"]
    assert run("-c", "-m", model, "second").out == "two\n"
    forked = run("-r", first[:8], "--fork", "--output-format", "json", "-m", model, "third").json
    assert forked["text"] == "three"
    assert forked["thread_id"] != first
    assert run("-r", first, "-m", model, "again").out == "three\n"


def test_a_resumed_thread_works_in_its_own_folder(run: Run, script: Script, place: Path, tmp_path: Path) -> None:
    model = script({"text": "one"}, {"tool_calls": [call("bash", command="pwd > where")]}, {"text": "two"})
    thread = run("--output-format", "json", "-m", model, "first").json["thread_id"]
    other = tmp_path / "other"
    other.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(other)
        assert run("-r", thread, "-m", model, "second").code == 0
    assert (place / "where").read_text().strip() == str(place)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_what_was_cut_off_goes_on_without_a_prompt(
    run: Run, script: Script, place: Path, number: signal.Signals
) -> None:
    model = script({"tool_calls": [call("bash", command="touch began; sleep 600")]}, {"text": "went on"})
    program = [str(Path(sys.executable).with_name("ml-intern")), "--no-sandbox", "-m", model, "go"]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not (place / "began").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, number) if number is signal.SIGKILL else process.send_signal(number)
        process.wait(60)
    done = run("-c", "--no-sandbox", "-m", model)
    assert (done.code, done.out) == (0, "went on\n")
    assert ("may have run in part: bash" in done.err) is (number is signal.SIGKILL)  # else its end was reported
    again = run("-c", "--no-sandbox", "-m", model)
    assert (again.code, again.out) == (2, "")
    assert "nothing to continue" in again.err


def test_a_loop_of_continuations_finishes_a_turn_that_reaches_its_limits(run: Run, script: Script) -> None:
    steps = [{"tool_calls": [call("bash", command=f"echo {number} >> done")]} for number in range(3)]
    model = script(*steps, {"text": "finished"})
    assert run("--no-sandbox", "--max-iterations", "1", "-m", model, "go").code == 124
    codes = [run("-c", "--no-sandbox", "-m", model).code for _ in range(4)]
    assert codes == [124, 124, 0, 2]
    assert Path("done").read_text().split() == ["0", "1", "2"]


def test_a_closed_pipe_leaves_a_turn_that_can_be_continued(run: Run, script: Script, place: Path) -> None:
    calls = [call("bash", command="echo 1 >> done"), call("bash", command="sleep 1")]
    model = script(*({"tool_calls": [one]} for one in calls), {"text": "finished"})
    program = [str(Path(sys.executable).with_name("ml-intern")), "--no-sandbox", "--output-format", "stream-json"]
    with subprocess.Popen([*program, "-m", model, "go"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert any(b'"tool_output"' in line for line in process.stdout)
        process.stdout.close()
        assert process.wait(60) == 1
    done = run("-c", "--no-sandbox", "-m", model)
    assert (done.code, done.out) == (0, "finished\n")
    assert (place / "done").read_text() == "1\n"


def test_a_failed_turn_is_continued_and_a_finished_one_is_not(run: Run, script: Script) -> None:
    failing = script({"text": ""}, {"text": ""}, {"text": ""}, {"text": "now it is done"})
    assert run("-m", failing, "go").code == 1
    done = run("-c", "-m", failing)
    assert (done.code, done.out) == (0, "now it is done\n")
    assert run("-c", "-m", failing).code == 2


SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}, "additionalProperties": False}


@pytest.fixture
def schema(tmp_path: Path) -> str:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    return str(tmp_path / "schema.json")


def test_an_answer_that_matches_the_schema_is_printed_without_its_fence(run: Run, script: Script, schema: str) -> None:
    done = run("--output-schema", schema, "-m", script({"text": '```json\n{"n": 1}\n```'}), "go")
    assert (done.code, done.out) == (0, '{"n": 1}\n')


def test_a_wrong_answer_is_corrected_at_most_twice(run: Run, script: Script, schema: str) -> None:
    mended = run("--output-schema", schema, "-m", script(*_texts("one", '{"n": "x"}', '{"n": 3}')), "go")
    assert (mended.code, mended.out) == (0, '{"n": 3}\n')
    argv = ("--output-format", "json", "--output-schema", schema, "-m")
    never = run(*argv, script(*_texts("one", "two", '{"n": NaN}', '{"n": 4}')), "go")
    assert (never.code, never.json["status"]) == (1, "failed")
    assert never.json["usage"]["requests"] == 3
    assert "does not match the schema" in never.err


def _texts(*texts: str) -> list[dict[str, Any]]:
    return [{"text": text} for text in texts]


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "nonsense"}'])
def test_what_is_no_schema_is_a_usage_error(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "schema.json").write_text(text)
    done = run("--output-schema", str(tmp_path / "schema.json"), "-m", "scripted:x", "go")
    assert done.code == 2
    assert "--output-schema" in done.err


def test_the_notes_of_settings_are_said(run: Run, script: Script, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "cli_agent_config.json").write_text('{"modle": 1, "auto_save_interval": 1}')
    done = run("-m", script({"text": "ok"}), "go")
    assert "note: modle in" in done.err
    assert "note: auto_save_interval in" in done.err


def test_a_rule_that_is_none_is_a_configuration_error_and_an_idle_one_is_said(run: Run, script: Script) -> None:
    model = script({"text": "ok"})
    wrong = run("-m", model, "--set", 'permissions.deny=["((("]', "go")
    assert (wrong.code, "permissions.deny[0] is not a valid rule" in wrong.err) == (78, True)
    twice = ["--set", 'permissions.deny=["bash(make)"]', "--set", 'permissions.allow=["bash(make)"]']
    assert "allow bash make has no effect" in run("-m", model, *twice, "go").err
