"""`permissions`: what would happen with a command, the rules in force, and forgetting an answer."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_intern.configs.paths import data_home
from ml_intern.store.permissions import Grant
from ml_intern.store.store import Store
from tests.commands.conftest import Done

Run = Callable[..., Done]


@pytest.mark.parametrize(
    ("command", "verdict"),
    [
        ("ls -la | head", "allow"),
        ("cat '/etc/passwd'", "ask"),
        ("python train.py", "ask"),
        ("cat ~/.ssh/id_rsa", "deny"),
        ("echo 'open", "ask"),
        ("", "ask"),
        ("printf 'a\u202eb'", "ask"),
    ],
)
def test_the_verdict_on_a_command_is_one_json_object(run: Run, command: str, verdict: str) -> None:
    done = run("permissions", "test", "--json", "--no-sandbox", "--", command)
    assert (done.code, list(done.json), done.json["verdict"]) == (0, ["verdict", "why"], verdict)


def test_words_of_a_command_are_kept_apart(run: Run) -> None:
    assert run("permissions", "test", "--", "cat", "my file; rm x").out.startswith("allow: ")


def test_settings_and_mode_decide(run: Run, place: Path) -> None:
    (place.parent / "home").mkdir()
    settings = {"permissions": {"deny": ["bash(make)"], "allow": ["bash(pytest)"]}}
    (place.parent / "home" / "cli_agent_config.json").write_text(json.dumps(settings))
    test = ("permissions", "test", "--json", "--no-sandbox")
    assert run(*test, "--", "make").json == {"verdict": "deny", "why": 'the rule "deny bash make"'}
    assert run(*test, "--approval-mode", "yolo", "--", "make").json["verdict"] == "deny"
    assert run(*test, "--", "pytest -q").json["verdict"] == "allow"
    assert run(*test, "--approval-mode", "plan", "--", "pytest -q").json["verdict"] == "deny"
    assert run("permissions", "list").out.splitlines() == ["deny  bash make", "allow bash pytest"]


def test_answers_are_listed_and_forgotten(run: Run, place: Path) -> None:
    async def answer() -> None:
        async with await Store.open(data_home()) as store:
            await store.permissions.add(str(place), None, [Grant("bash", ("git", "add"))])
            await store.permissions.add("/elsewhere", "0123456789", [Grant("write")])

    asyncio.run(answer())
    assert run("permissions", "test", "--no-sandbox", "--", "git add -A").out.startswith(
        'allow: the rule "allow bash git add"'
    )
    assert run("permissions", "list").out == f"1     git add ...  (always, in {place})\n"
    listed = run("permissions", "list", "--all", "--json").json["answers"]
    assert [(one["id"], one["folder"], one["thread_id"], one["grant"]) for one in listed] == [
        (1, str(place), None, {"tool": "bash", "prefix": ["git", "add"]}),
        (2, "/elsewhere", "0123456789", {"tool": "write", "prefix": []}),
    ]
    assert run("permissions", "remove", "1").code == 0
    again = run("permissions", "remove", "1")
    assert (again.code, "no saved answer 1" in again.err) == (2, True)
    assert run("permissions", "test", "--no-sandbox", "--", "git add -A").out.startswith("ask: ")
    assert run("permissions", "list").out.startswith("no rules")
