"""Each check refuses its planted faults and lets their benign twins pass."""

from collections import Counter

import pytest

from ml_intern.runs.preflight.check import RULE_NAMES, RULES, check
from ml_intern.runs.preflight.findings import PreflightReport
from ml_intern.runs.preflight.program import read_program
from tests.tools.compute.pairs import PAIRS, Pair, Side
from tests.tools.compute.scripts import SFT, known, planned


def checked(side: Side, **more: object) -> PreflightReport:
    plan = planned(**{**side.plan, **more})
    return check(plan, known(side.script, plan, **side.facts))


@pytest.mark.parametrize("pair", PAIRS, ids=[f"{pair.rule}: {pair.what}" for pair in PAIRS])
def test_a_planted_fault_is_refused_by_its_rule_and_its_benign_twin_by_none(pair: Pair) -> None:
    assert pair.rule in {one.rule for one in checked(pair.fault).refused}
    assert checked(pair.twin).refusal == ""


def test_every_rule_has_pairs_and_there_are_thirty_at_least(capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counter(pair.rule for pair in PAIRS)
    with capsys.disabled():
        print(f"\npreflight: {len(PAIRS)} pairs of a fault and its twin: {dict(counts)}")
    assert set(counts) == set(RULE_NAMES) == set(RULES)
    assert len(PAIRS) >= 30


@pytest.mark.parametrize("pair", PAIRS, ids=[f"{pair.rule}: {pair.what}" for pair in PAIRS])
def test_an_override_lets_the_run_pass_and_is_shown(pair: Pair) -> None:
    others = tuple(one.rule for one in checked(pair.fault).refused)
    over = checked(pair.fault, overrides=others)
    assert over.refusal == ""
    assert any(note.startswith(f"overridden: [{pair.rule}]") for note in over.notes)


def test_a_refusal_names_the_rule_its_remedy_and_the_override() -> None:
    refusal = checked(Side(plan={"hardware": "t4-small"})).refusal
    assert "[precision] t4-small does not support bfloat16; use fp16" in refusal
    assert "override=[precision]" in refusal


def test_a_run_without_a_script_that_can_be_read_is_let_pass() -> None:
    assert checked(Side("", {"command": ("nvidia-smi",), "image": "ubuntu:24.04"})).found == ()


def test_the_shape_of_a_script_outlives_other_constants_and_no_other_change() -> None:
    shape = read_program(SFT).shape
    assert read_program(SFT.replace("r=8", "r=64").replace("Qwen/Qwen2.5-1.5B", "org/other")).shape == shape
    assert read_program(SFT.replace("trainer.train()", "trainer.evaluate()")).shape != shape
