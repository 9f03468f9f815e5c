from dataclasses import fields
from typing import get_args

import pytest

from ml_intern.commands.options import OPTIONS
from ml_intern.configs.settings import Settings
from ml_intern.graph import limits
from ml_intern.graph.context import RunOptions


def default_of(name: str) -> object:
    return next(one.default for one in fields(RunOptions) if one.name == name)


def test_settings_and_run_options_have_the_same_limits() -> None:
    assert Settings().max_iterations == default_of("max_iterations") == limits.MAX_ITERATIONS == 300
    assert default_of("compact_threshold") == limits.COMPACT_THRESHOLD == 170_000
    assert get_args(get_args(Settings.model_fields["reasoning_effort"].annotation)[0]) == limits.EFFORTS


@pytest.mark.parametrize(
    ("option", "text"),
    [("--max-iterations", "300"), ("--max-budget-usd", "20"), ("--effort", ", ".join(limits.EFFORTS))],
)
def test_help_names_the_limits(option: str, text: str) -> None:
    assert any(option in spec.switches and text in spec.help for spec in OPTIONS.values())
