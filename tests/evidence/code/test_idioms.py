"""Idioms of scikit-learn, torch, transformers, lightgbm, xgboost, keras and pandas: a fault, and its honest twin."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_intern.evidence.code.check import read_code

IDIOMS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).with_name("idioms.yaml")).read_text())


@pytest.mark.parametrize("idiom", IDIOMS, ids=[one["name"] for one in IDIOMS])
def test_the_fault_is_stated_and_the_twin_is_not(idiom: dict[str, Any]) -> None:
    found = read_code(idiom["fault"], "train.py")
    assert found.not_analysed == ""
    assert {one.rule for one in found.findings} == {idiom["rule"]}
    twin = read_code(idiom["twin"], "train.py")
    assert (twin.findings, twin.not_analysed) == ((), "")
