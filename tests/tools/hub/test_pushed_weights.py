"""At the end of a turn, the weights on the Hub are compared with the files that the numbers are of."""

import json
from pathlib import Path

import pytest

from ml_intern.evidence.observations import Observations
from ml_intern.evidence.reproduction.pushed import with_pushed_files
from ml_intern.evidence.verdict import AnswerVerdict
from tests.evidence.test_gate import ran
from tests.execution.conftest import Bench
from tests.fakes.hub import FakeHub

ANSWER = "The model is in ada/m."


def after(bench: Bench, *uploads: dict[str, str]) -> Observations:
    calls = [
        {"tool": "hub_repos", "ok": True, "args": json.dumps({"operation": "upload", "repo": "ada/m", **one})}
        for one in uploads
    ]
    return Observations(bench.workspace, (bench.workspace,), "", calls=tuple(calls), level="standard")


async def states(seen: Observations) -> dict[str, str]:
    verdict = await with_pushed_files(ANSWER, seen, AnswerVerdict("standard"))
    return {one.text: one.state for one in verdict.claims}


@pytest.mark.parametrize("content", [b"small", b"\1" * 2_000_000], ids=["git", "LFS"])
async def test_a_file_that_changed_after_the_upload_contradicts_the_answer(
    hub: FakeHub, bench: Bench, content: bytes
) -> None:
    path = Path(bench.workspace, "out/sub/model.safetensors")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert (await bench.run("hub_repos", operation="upload", repo="ada/m", local="out", path="v1")).ok
    seen = after(bench, {"local": "out", "path": "v1"})
    assert await states(seen) == {"v1/sub/model.safetensors in ada/m": "held"}
    path.write_bytes(content + b"!")
    assert await states(seen) == {"v1/sub/model.safetensors in ada/m": "contradicted"}


async def test_what_cannot_be_compared_is_named(hub: FakeHub, bench: Bench) -> None:
    bench.file("model.pkl", "x")
    seen = after(bench, {"local": "model.pkl"})
    verdict = await with_pushed_files(ANSWER, seen, AnswerVerdict("standard"))
    assert (verdict.claims, len(verdict.incomplete)) == ((), 1)
    assert verdict.incomplete[0].startswith("the files in ada/m were not compared: ")
    silent = await with_pushed_files("I uploaded nothing.", seen, AnswerVerdict("standard"))
    assert (silent.claims, silent.incomplete) == ((), ())


async def test_a_model_that_was_pushed_from_memory_is_named_as_not_compared(bench: Bench) -> None:
    code = "make().push_to_hub('ada/m')"
    run = ran(bench.workspace, f'python3 -c "{code}"')
    seen = Observations(bench.workspace, (bench.workspace,), "", (run,), level="standard")
    verdict = await with_pushed_files(ANSWER, seen, AnswerVerdict("standard"))
    assert (verdict.claims, len(verdict.incomplete)) == ((), 1)
    assert "command 1 pushed to ada/m a model that is in no delivered file" in verdict.incomplete[0]
