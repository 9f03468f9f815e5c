"""Conditions on a run: which are understood, what meets them, and that each is met once."""

import asyncio
import json
import math
import os
import time

import pytest

from ml_intern.runs.notify import Conditions, Seen, checked_conditions, conditions_json, notices_json
from ml_intern.runs.poll import poll
from ml_intern.store.runs import RunRow
from tests.execution.conftest import Bench


def met(condition: str, seen: Seen) -> list[str]:
    found = Conditions(conditions_json(checked_conditions([condition])), "[]")
    for _ in range(2):
        found.check(seen, time.time() + 1000)
    return [one.text for one in found.notices]


@pytest.mark.parametrize(
    ("condition", "seen", "text"),
    [
        ("loss is nan", Seen(metrics={"loss": math.nan}), "loss nan"),
        ("loss is not finite", Seen(metrics={"loss": math.inf}), "loss inf"),
        ("eval_f1 > 0.8", Seen(metrics={"eval_f1": 0.81}), "eval_f1 0.81"),
        ("eval/f1>=8e-1", Seen(metrics={"eval/f1": 0.8}), "eval/f1 0.8"),
        ("no line for 10 min", Seen(silent_s=601), "no line for 10 min 1 s"),
        ("no output for 30s", Seen(silent_s=30), "no line for 30 s"),
        ("line cuda out of memory", Seen("RuntimeError: CUDA out of memory."), "RuntimeError: CUDA out of memory."),
    ],
)
def test_a_condition_is_met_once(condition: str, seen: Seen, text: str) -> None:
    assert met(condition, seen) == [text]


@pytest.mark.parametrize(
    ("condition", "seen"),
    [
        ("loss is nan", Seen("loss nan", {"eval_loss": math.nan, "loss": 1.0})),
        ("eval_f1 > 0.8", Seen(metrics={"eval_f1": 0.8})),
        ("no line for 10 min", Seen("no line for 10 min", silent_s=599)),
        ("line out of memory", Seen(metrics={"out": 1})),
    ],
)
def test_a_condition_is_not_met_by_something_else(condition: str, seen: Seen) -> None:
    assert met(condition, seen) == []


@pytest.mark.parametrize(
    "text", ["loss", "loss > high", "no line for ever", "loss is good", "line ", "loss > 1 and acc"]
)
def test_what_is_not_a_condition_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="is not a condition; use METRIC > NUMBER"):
        checked_conditions([text])


def test_a_condition_that_is_set_again_can_be_met_again_and_silence_counts_from_then() -> None:
    now = time.time()
    first = Conditions(json.dumps({"no line for 60s": now - 500}), "[]")
    first.check(Seen(silent_s=400), now)
    again = Conditions(json.dumps({"no line for 60s": now + 1}), notices_json(first.notices))
    again.check(Seen(silent_s=430), now + 31)
    assert len(again.notices) == 1
    again.check(Seen(silent_s=461), now + 62)
    assert [one.text for one in again.notices] == ["no line for 6 min 40 s", "no line for 1 min 1 s"]


async def test_a_local_run_reports_a_line_a_metric_and_silence(bench: Bench) -> None:
    wanted = ["dice > 0.5; line WARN", "no line for 5 min"]
    result = await bench.run("jobs", operation="run", command="echo WARN; echo dice=0.75; sleep 60", notify_when=wanted)
    assert result.ok, result.text
    [row] = await bench.store.runs.list()

    async def noticed(count: int) -> None:
        async with asyncio.timeout(60):
            while len(json.loads((await poll(bench.store, await current())).notices)) != count:  # noqa: ASYNC110 nothing tells of another process
                await asyncio.sleep(0.05)

    async def current() -> RunRow:
        return await bench.store.runs.get(row.id) or row

    await noticed(2)
    long_ago = time.time() - 400
    os.utime(row.log, (long_ago, long_ago))
    conditions = dict.fromkeys([*json.loads((await current()).notify_when)], long_ago)
    await bench.store.runs.update(row.id, started=long_ago, notify_when=json.dumps(conditions))
    await noticed(3)
    found = await bench.store.runs.unreported_notices(row.thread_id, [f"{row.id}/0"])
    assert [notice.condition for _, _, notice in found] == ["dice > 0.5", "no line for 5 min"]
    again = await bench.run("jobs", operation="notify", run=row.id, notify_when=["line WARN"])
    assert again.ok, again.text
    assert list(json.loads((await current()).notify_when)) == ["line WARN"]
    await bench.run("jobs", operation="cancel", run=row.id)
