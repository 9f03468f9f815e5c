"""When "always" is offered, and that it never covers more than the words shown."""

import pytest

from ml_intern.execution.policy_inputs import always_offers
from ml_intern.execution.run import judge
from ml_intern.store.permissions import Grant
from tests.execution.conftest import THREAD, Bench


async def offered(bench: Bench, command: str) -> list[str]:
    call = bench.call("bash", {"command": command})
    return [grant.words for grant in await always_offers(call, bench.context(mode="ask"))]


@pytest.mark.parametrize(
    ("command", "prefixes"),
    [
        ("git add -A", ["git add"]),
        ("uv pip install torch", ["uv pip install"]),
        ("pytest -q | tail -3 && git commit -m x", ["pytest", "git commit"]),
        ("python train.py --lr 1", ["python train.py"]),
    ],
)
async def test_each_sub_command_that_is_not_read_only_gets_a_prefix(
    bench: Bench, command: str, prefixes: list[str]
) -> None:
    assert await offered(bench, command) == prefixes


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf build",
        "bash -c 'make'",
        "python -c 'print(1)'",
        "make > log",
        "make $(cat target)",
        "sudo make",
        "git push origin main",
        "hf upload me/x . && make",
        "ma\u202eke",
        "make 'open",
    ],
)
async def test_nothing_is_offered_when_a_prefix_would_allow_anything_or_send_data_out(
    bench: Bench, command: str
) -> None:
    assert await offered(bench, command) == []


async def test_nothing_is_offered_when_an_ask_rule_applies(bench: Bench) -> None:
    from dataclasses import replace

    context = bench.context(mode="ask")
    context = replace(context, options=replace(context.options, permissions={"ask": ["bash(make)"]}))
    assert await always_offers(bench.call("bash", {"command": "make"}), context) == ()


async def test_nothing_is_offered_for_files_that_control_other_programs(bench: Bench) -> None:
    for path, words in (("train.py", ["write"]), (".env", []), ("AGENTS.md", []), (".github/workflows/a.yml", [])):
        call = bench.call("write", {"path": path, "content": "x"})
        assert [one.words for one in await always_offers(call, bench.context(mode="ask"))] == words


async def test_the_offered_grants_allow_the_call_and_no_other_command(bench: Bench) -> None:
    call = bench.call("bash", {"command": "make all && git add -A"})
    grants = await always_offers(call, bench.context(mode="ask"))
    await bench.store.permissions.add(str(bench.workspace), None, grants)
    kinds: dict[str, str] = {}
    yes = ("make all -j4", "git add src", "ls && make all | tail -3")
    no = ("make test", "git commit -m x", "make all && rm x", "makeall", "make all > x", "git add .env", "git add ../x")
    for command in (*yes, *no):
        kinds[command] = (await judge(bench.call("bash", {"command": command}), bench.context(mode="ask"))).kind
    assert [command for command, kind in kinds.items() if kind == "allow"] == [*yes]


async def test_an_answer_is_stored_once_listed_and_removed(bench: Bench) -> None:
    always = bench.store.permissions
    for _ in range(2):
        await always.add("/a", None, [Grant("bash", ("make",))])
    await always.add("/b", THREAD, [Grant("write")])
    rows = await always.list()
    assert [(row.folder, row.thread_id, row.grant.words) for row in rows] == [
        ("/a", None, "make"),
        ("/b", THREAD, "write"),
    ]
    assert [row.grant.words for row in await always.list("/b")] == ["write"]
    assert await always.remove(rows[0].id)
    assert not await always.remove(rows[0].id)
    assert await always.in_force("/a", THREAD) == []
