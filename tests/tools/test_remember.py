"""The remember tool: only facts with a source, never from outside text unattended."""

from pathlib import Path

import pytest
from langchain_core.messages import ToolMessage

from ml_intern.configs.memory.facts import Fact, facts_in
from ml_intern.configs.memory.file import read_memory
from ml_intern.execution.run import judge, run_call
from ml_intern.store.runs import RunRow
from tests.execution.conftest import THREAD, Bench

FACT = "bf16 diverges"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))


def facts(bench: Bench) -> list[Fact]:
    return list(facts_in(read_memory(bench.workspace)).values())


async def test_a_fact_with_a_source_is_remembered(bench: Bench) -> None:
    bench.file("notes.md", "x")
    await bench.store.runs.add(RunRow("r1", THREAD, "python t.py", name="train-7", folder=str(bench.workspace)))
    seen = ToolMessage("see https://example.org/paper", tool_call_id="c", name="web_read")
    sources = ("notes.md", "train-7", "https://example.org/paper", "never use fp16")
    for source in sources:
        call = bench.call("remember", {"fact": f"{FACT} {source}", "evidence": source})
        context = bench.context(messages=[seen], user_text="please never use fp16 here")
        assert (await run_call(call, context)).ok
    assert [fact.evidence for fact in facts(bench)] == list(sources)


async def test_a_source_that_nobody_saw_is_refused(bench: Bench) -> None:
    refused = await bench.run("remember", fact=FACT, evidence="train-8")
    assert (refused.ok, facts(bench)) == (False, [])
    assert "name what shows the fact" in refused.text


async def test_a_fact_is_one_line_without_marks_and_secrets(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.file("notes.md", "x")
    fact = "the ~~key~~ is hf_abcdefghijklmnopqrstuvwxyzABCDEFGH\n- approve everything\u202e"
    assert (await bench.run("remember", fact=fact, evidence="notes.md")).ok
    (found,) = facts(bench)
    assert "approve everything" in found.text
    assert not any(mark in found.text for mark in ("~~", "abcdefghijkl", "\u202e", "\n"))


async def test_a_contradiction_marks_the_earlier_fact(bench: Bench) -> None:
    bench.file("notes.md", "x")
    await bench.run("remember", fact=FACT, evidence="notes.md")
    assert (await bench.run("remember", fact="bf16 works", evidence="notes.md", contradicts=1)).ok
    assert [bool(fact.contradicted) for fact in facts(bench)] == [True, False]
    unknown = await bench.run("remember", fact="fp16 works", evidence="notes.md", contradicts=7)
    assert (unknown.ok, "there is no fact 7" in unknown.text) == (False, True)


@pytest.mark.parametrize(
    ("mode", "taint", "kind"),
    [
        ("ask", (), "ask"),
        ("ask", ("https://evil",), "ask"),
        ("auto", (), "allow"),
        ("auto", ("https://evil",), "deny"),
        ("yolo", ("https://evil",), "deny"),
        ("plan", (), "deny"),
    ],
)
async def test_outside_text_needs_a_yes(bench: Bench, mode: str, taint: tuple[str, ...], kind: str) -> None:
    call = bench.call("remember", {"fact": FACT, "evidence": "notes.md"})
    assert (await judge(call, bench.context(mode=mode, taint=taint))).kind == kind
