"""What a Python process reports about itself can contradict a claim, and never supports one."""

import asyncio
from pathlib import Path

import pytest

from ml_intern.evidence.gate import check_answer
from ml_intern.evidence.observations import Observations
from tests.evidence.test_gate import ran

STEPS = ("start 3.11", "optimizer steps=2", "device cpu")


@pytest.mark.parametrize(
    ("answer", "hints", "state"),
    [
        ("The model converged.", ("fit LogisticRegression rows=90 n_iter=100 max_iter=100",), "contradicted"),
        ("The model converged.", ("fit LogisticRegression rows=90 n_iter=31 max_iter=100",), None),
        ("The model converged.", ("fit HistGradientBoostingClassifier n_iter=100 max_iter=100",), None),
        ("It was trained for 3 epochs.", STEPS, "contradicted"),
        ("It was trained for 2 epochs.", STEPS, None),
        ("It was trained on the GPU.", ("device cpu",), "contradicted"),
    ],
)
def test_a_hint_contradicts_and_never_supports(
    answer: str, hints: tuple[str, ...], state: str | None, tmp_path: Path
) -> None:
    run = ran(tmp_path, text="done", hints=hints)
    verdict = asyncio.run(check_answer(answer, Observations(tmp_path, (tmp_path,), "", (run,), level="quick")))
    assert [one.state for one in verdict.claims] == ([state] if state else [])
