"""What commands of an unattended thread send, in the foreground and in the background: attacks and harmless twins."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_intern.execution.run import run_call
from ml_intern.graph.context import sandbox_name
from ml_intern.runs.poll import poll
from ml_intern.sandbox.bubblewrap import Kind
from ml_intern.sandbox.send_limits import HOST_BYTES
from tests.execution.conftest import Bench
from tests.sandbox.test_send_limits import CODE, SANDBOXES, Hub, hub, place

__all__ = ["hub", "place"]
WHERE = pytest.mark.parametrize("where", ["foreground", "background"])
MUCH, LITTLE = "python3 send.py POST URL/x 600000 1 tunnel", "python3 send.py POST URL/x 1000 1 tunnel"
TAINT = ("https://pages.example/guide",)


@pytest.fixture(autouse=True)
def endpoint(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)


async def output(
    bench: Bench, hub: Hub, words: str, kind: Kind = "bubblewrap", *, where: str = "foreground", **choices: Any
) -> str:
    """Return the output of a command, in the background the end of its log."""
    bench.file("send.py", CODE)
    context = bench.context()
    options = replace(context.options, sandbox="list", sandbox_kind=kind, approval_mode=choices.pop("mode", "auto"))
    context = replace(context, options=options, sandbox_profile=sandbox_name(options), **choices)
    args = {"command": words.replace("URL", hub.url), "background": where == "background"}
    result = await run_call(bench.call("bash", args), context)
    bench.file_reads |= result.file_reads
    assert where == "foreground" or result.ok, result.text
    if where == "foreground":
        return result.text
    return await ended(bench)


async def ended(bench: Bench) -> str:
    """Wait for the end of the last run and return the end of its log."""
    row = (await bench.store.runs.list())[-1]
    async with asyncio.timeout(60):
        while (row := await poll(bench.store, row)).open:  # noqa: ASYNC110 nothing tells of another process
            await asyncio.sleep(0.05)
    return row.tail


@SANDBOXES
@WHERE
async def test_after_outside_text_a_command_sends_little_and_a_cut_is_reported_with_the_remedy(
    bench: Bench, hub: Hub, kind: Kind, where: str
) -> None:
    said = await output(bench, hub, MUCH, kind, where=where, taint=TAINT)
    assert hub.received.total() <= HOST_BYTES
    assert (
        f"the sandbox cut the connection: more than 256 kB to 127.0.0.1 is not allowed while text from {TAINT[0]}"
        in said
    )
    assert "ask the user to send the data" in said
    assert "200 " in await output(bench, hub, LITTLE, kind, where=where, taint=TAINT)
    assert "200 " in await output(bench, hub, MUCH, kind, where=where)
    assert "200 " in await output(bench, hub, MUCH, kind, where=where, taint=TAINT, mode="yolo")


async def test_many_commands_in_the_background_and_foreground_are_counted_together(bench: Bench, hub: Hub) -> None:
    words = "python3 send.py POST URL/x 200000 1 tunnel"
    found = [
        await output(bench, hub, words, where="foreground" if number else "background", taint=TAINT)
        for number in range(22)
    ]
    assert ["200 " in text for text in found] == [True] * 19 + [False] * 3
    assert "more than 4 MB in a thread" in found[-1]
    assert hub.received.total() <= 4_000_000


@WHERE
@pytest.mark.parametrize(
    ("attack", "harmless"),
    [
        ("cat .env; ", "cat notes.md; "),
        ("python3 -c \"open('.env').read()\"; ", "python3 -c \"open('notes.md').read()\"; "),
        ("cat server.pem; ", "cat server.txt; "),
        ("cat PRIVATE/notes.md; ", "cat /etc/os-release; "),
        ("grep -r x PRIVATE; ", "ls .; "),
    ],
)
async def test_a_command_that_reads_a_private_file_is_limited(
    bench: Bench, hub: Hub, place: Path, attack: str, harmless: str, where: str
) -> None:
    for name in (".env", "notes.md", "server.pem", "server.txt"):
        bench.file(name, "x\n")
    (place / "notes.md").write_text("x\n")
    attack, harmless = (text.replace("PRIVATE", str(place)) for text in (attack, harmless))
    assert "200 " in await output(bench, hub, harmless + MUCH, where=where)
    said = await output(bench, hub, attack + MUCH, where=where)
    assert "the sandbox cut the connection" in said
    assert "after the private file" in said


async def test_what_was_read_earlier_in_the_thread_counts_and_undone_reads_do_not(bench: Bench, hub: Hub) -> None:
    bench.file(".env", "MODE=offline\n")
    assert (await bench.run("read", path=".env")).ok
    assert "after the private file .env was read" in await output(bench, hub, MUCH)
    bench.file_reads.clear()
    assert "200 " in await output(bench, hub, MUCH)


@WHERE
async def test_a_command_with_the_key_of_a_service_may_send_any_amount_to_it(
    bench: Bench, hub: Hub, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_aVeryFakeTokenForTheTests0003")
    bench.file("send.py", CODE)
    context = bench.context(taint=TAINT, user_text="push it with HF_TOKEN")
    options = replace(context.options, sandbox="list")
    context = replace(context, options=options, sandbox_profile=sandbox_name(options))
    args = {"command": MUCH.replace("URL", hub.url), "secrets": ["HF_TOKEN"], "background": where == "background"}
    result = await run_call(bench.call("bash", args), context)
    assert result.ok, result.text
    if where == "background":
        await ended(bench)
    assert hub.received.total() >= 600_000
