"""The metric is read from what an evaluator prints, and anything else is an error that names it."""

import pytest

from ml_intern.search.readings import NoMetric, Reading, read_metric


@pytest.mark.parametrize(
    ("output", "value"),
    [
        ("macro_f1 0.81", 0.81),
        ("epoch 1 loss 3.2\nmacro_f1: 0.81\n", 0.81),
        ('{"macro_f1": 0.81, "n": 4}', 0.81),
        ("macro_f1=-1e-3", -0.001),
        ("macro_f1 0.81\nmacro_f1 0.81", 0.81),
        ("trained\n0.81\n", 0.81),
        ("val_macro_f1_old 3\nmacro_f1 0.81", 0.81),
    ],
)
def test_a_value_is_read(output: str, value: float) -> None:
    assert read_metric(output, "macro_f1").value == value


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("", "it printed nothing"),
        ("loading\nTraceback", "its last line is 'Traceback'"),
        ("macro_f1 0.1\nmacro_f1 0.2", "2 values of macro_f1: 0.1, 0.2"),
        ("macro_f1 nan", "macro_f1 nan, which cannot be compared"),
        ("macro_f1 0.5\nmacro_f1 inf", "macro_f1 inf, which cannot be compared"),
    ],
)
def test_an_invalid_output_is_an_error_that_names_it(output: str, why: str) -> None:
    with pytest.raises(NoMetric, match=why):
        read_metric(output, "macro_f1")


def test_rows_are_read() -> None:
    assert read_metric("acc 0.75\nn 4\nrows [1, 0, 1, 1]", "acc") == Reading(0.75, 4, (1.0, 0.0, 1.0, 1.0))
