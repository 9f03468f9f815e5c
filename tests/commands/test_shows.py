"""The subcommands that show something: threads, config, tools, doctor, completion."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_intern.commands.completion import VALUES
from ml_intern.commands.options import OPTIONS
from ml_intern.commands.table import COMMANDS
from ml_intern.configs.paths import data_home
from ml_intern.configs.settings import Settings
from ml_intern.store.queue import QueuedRow
from ml_intern.store.store import Store
from ml_intern.tools.registry import create_builtin_tools
from tests.commands.conftest import Done, call

Run = Callable[..., Done]
Script = Callable[..., str]


@pytest.fixture
def thread(run: Run, script: Script) -> str:
    model = script(
        {"tool_calls": [call("plan", steps=[{"text": "look", "status": "done"}]), call("bash", command="echo hi")]},
        {"text": "It says \x1b[31mhi."},
    )
    done = run("--output-format", "json", "-m", model, "say\nhi")
    assert done.code == 0
    identifier: str = done.json["thread_id"]
    return identifier


def test_threads_list_shows_what_there_is(run: Run, thread: str, place: Path) -> None:
    head, row = run("threads", "list").out.splitlines()
    assert head.split() == ["ID", "STATE", "TURNS", "COST", "USED", "TITLE", "FOLDER"]
    assert row.startswith(f"{thread[:8]}  idle   1      $0.00")
    assert row.endswith(f"say hi  {place}")
    (listed,) = run("threads", "list", "--json").json
    assert (listed["id"], listed["title"], listed["folder"], listed["turns"]) == (thread, "say hi", str(place), 1)


def test_threads_list_can_be_of_this_folder_and_short(run: Run, thread: str, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert run("threads", "list", "--here", "--json").json == []
    assert len(run("threads", "list", "--limit", "0", "--json").json) == 1


def test_threads_show_tells_the_whole_conversation_safely(run: Run, thread: str) -> None:
    shown = run("threads", "show", thread[:6]).out
    assert "[user]\nsay\nhi\n" in shown
    assert "-> bash echo hi\n" in shown
    assert "[bash, ok]\nhi\n" in shown
    assert "It says \\x1b[31mhi." in shown
    assert "\x1b" not in shown
    assert "[x] look" in shown


def test_queued_messages_are_shown_and_sent_before_the_next_prompt(run: Run, thread: str, script: Script) -> None:
    async def queue() -> None:
        async with await Store.open(data_home()) as store:
            body: dict[str, Any] = {"text": "and\x1b[2J that", "typed": None, "images": [], "sources": []}
            await store.queue.add(thread, QueuedRow("m1", body), folder="", title="")

    asyncio.run(queue())
    assert "[queued]\nand\\x1b[2J that\n" in run("threads", "show", thread).out
    (queued,) = run("threads", "show", thread, "--json").json["queue"]
    assert (queued["id"], queued["text"], queued["steer"]) == ("m1", "and\x1b[2J that", False)
    played = [{"text": "played"}] * 2
    done = run("-m", script(*played, {"text": "first"}, {"text": "second"}), "-c", "-p", "go on")
    assert (done.code, done.out) == (0, "second\n")
    shown = run("threads", "show", thread, "--json").json
    assert [one["text"] for one in shown["messages"] if one["role"] == "human"][1:] == ["and\x1b[2J that", "go on"]
    assert shown["queue"] == []


def test_threads_show_as_json_has_messages_calls_and_plan(run: Run, thread: str) -> None:
    shown = run("threads", "show", "say hi", "--json").json
    roles = [message["role"] for message in shown["messages"]]
    assert roles == ["human", "ai", "tool", "tool", "ai"]
    assert shown["messages"][1]["tool_calls"][1]["args"] == {"command": "echo hi"}
    assert shown["messages"][3]["ok"] is True
    assert shown["plan"] == [{"text": "look", "status": "done"}]
    assert shown["thread"]["id"] == thread


def test_threads_show_tells_notes_from_the_users_words(run: Run, script: Script) -> None:
    steps = [{"text": "train", "status": "in_progress"}]
    model = script({"tool_calls": [call("plan", steps=steps)]}, {"text": "bye"}, {"text": "bye"}, {"text": "really"})
    assert run("-m", model, "go").code == 0
    shown = run("threads", "show", "go").out
    assert "[user]\ngo\n" in shown
    assert "[note]\nThe plan has open steps" in shown
    roles = [message["role"] for message in run("threads", "show", "go", "--json").json["messages"]]
    assert roles == ["human", "ai", "tool", "ai", "note", "ai", "note", "ai"]


def test_config_show_names_the_source_of_each_value_and_hides_secrets(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_TOKEN_OF_MINE", "xoxb-1234567890-abcdefghij")
    values: dict[str, Any] = {
        "max_iterations": 7,
        "messaging": {"destinations": {"slack.ops": {"token": "${SLACK_TOKEN_OF_MINE}", "channel": "C1"}}},
        "mcpServers": {"a": {"url": "https://x", "headers": {"X-Custom": "hushed"}, "env": {"NAME": "hushed"}}},
        "model_params": {"max_tokens": 99},
    }
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "cli_agent_config.json").write_text(json.dumps(values))
    done = run("config", "show", "--json", "-m", "openai/x", "--set", "model_params.top_p=1")
    settings = done.json["settings"]
    assert settings["model_name"] == {"value": "openai/x", "source": "command line"}
    assert settings["max_iterations"]["source"].endswith("cli_agent_config.json")
    assert settings["model_params.top_p"] == {"value": 1, "source": "--set"}
    assert settings["model_params.max_tokens"]["value"] == 99
    assert settings["messaging.destinations.slack.ops.channel"]["value"] == "C1"
    assert settings["messaging.destinations.slack.ops.token"]["value"] == "[hidden]"
    text = run("config", "show").out
    for secret in ("xoxb-1234567890", "hushed"):
        assert secret not in done.out + text
    assert {path.partition(".")[0] for path in settings} == set(Settings.model_fields)


def test_config_path_names_every_place(run: Run, tmp_path: Path) -> None:
    paths = run("config", "path", "--json").json
    assert paths["threads"] == {"path": str(tmp_path / "home" / "threads.db"), "exists": False}
    assert "(missing)" in run("config", "path").out


def test_tools_lists_the_tools(run: Run) -> None:
    listed = run("tools", "--json").json
    assert {tool["name"] for tool in listed} == set(create_builtin_tools())
    assert next(tool for tool in listed if tool["name"] == "read")["read_only"] is True
    assert "bash" in run("tools").out


def test_a_tool_listed_as_never_asking_runs_unasked_in_ask_mode(run: Run, script: Callable[..., str]) -> None:
    kinds = {line.split("  ")[0]: line for line in run("tools").out.splitlines()}
    assert "never asks" in kinds["plan"]
    assert {tool["name"] for tool in run("tools", "--json").json if not tool["asks"]} == {
        name for name, line in kinds.items() if "  reads  " in line or "never asks" in line
    }
    calls = [call("plan", steps=[{"text": "one", "status": "done"}])]
    assert run("--approval-mode", "ask", "-m", script({"tool_calls": calls}, {"text": "done"}), "go").code == 0


def test_doctor_shows_keys_by_name_only(run: Run, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake-0123456789")
    (place / ".env").write_text("GITHUB_TOKEN=ghp_fake0123456789")
    monkeypatch.setenv("GITHUB_TOKEN", "")
    done = run("doctor", "--json")
    assert done.code == 0
    keys = done.json["keys"]
    assert {name: how for name, how in keys.items() if how == "set"} == {"OPENAI_API_KEY": "set", "GITHUB_TOKEN": "set"}
    assert "hf auth login" in keys["HF_TOKEN"]
    assert set(done.json) == {"versions", "programs", "folders", "keys", "model", "notes"}
    assert "fake" not in done.out + run("doctor").out


def test_doctor_names_the_variable_of_the_hub_token(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HUGGINGFACE_HUB_TOKEN", "hf_fake0123456789")
    keys = run("doctor", "--json").json["keys"]
    assert keys["HUGGINGFACE_HUB_TOKEN"] == "set"
    assert "HF_TOKEN" not in keys


def test_doctor_says_what_is_wrong_with_the_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "threads.db").write_bytes(b"no database at all" * 100)
    done = run("doctor")
    assert done.code == 78
    assert "threads.db" in done.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_option_and_subcommand(run: Run, shell: str) -> None:
    text = run("completion", shell).out
    for command in COMMANDS:
        assert command in text
    for spec in OPTIONS.values():
        for switch in spec.switches:
            assert switch.lstrip("-") in text


def test_the_bash_completion_completes(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "completion.bash"
    path.write_text(run("completion", "bash").out)
    for typed, completed in (
        ("thr", "threads"),
        ("threads sho", "show"),
        ("--approval-mode y", "yolo"),
        ("--eph", "--ephemeral"),
    ):
        words = " ".join(f"'{word}'" for word in ["ml-intern", *typed.split()])
        count = len(typed.split())
        program = f"source {path}; COMP_WORDS=({words}); COMP_CWORD={count}; _ml_intern; echo ${{COMPREPLY[*]}}"
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == completed


def test_the_values_completion_offers_are_those_that_parse() -> None:
    for field, words in VALUES.items():
        annotation = str(OPTIONS[field].annotation)
        assert all(f"'{word}'" in annotation for word in words.split())


@pytest.mark.parametrize(
    "command", ["threads", "threads list", "config show", "tools", "doctor", "completion", "demo", ""]
)
def test_every_command_has_help(run: Run, command: str) -> None:
    done = run(*command.split(), "--help")
    assert done.code == 0
    assert f"ml-intern {command}".strip() in done.out
