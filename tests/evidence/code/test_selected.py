"""A metric on the test rows that a model is sure of is a fact of its own; a precision is an ordinary metric."""

import pytest

from ml_intern.evidence.code.check import read_code

HEAD = """import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score
tr, te = pd.read_csv("train.csv"), pd.read_csv("test.csv")
m = RandomForestClassifier(random_state=0).fit(tr[["a", "b"]], tr["y"])
yt, sure = te["y"], m.predict_proba(te[["a", "b"]])
made = m.predict(te[["a", "b"]])
answers = [int(one.argmax()) if one.max() > 0.8 else None for one in sure]
"""


@pytest.mark.parametrize(
    "code",
    [
        "kept = [(a, b) for a, b in zip(answers, yt) if a is not None]\n"
        "print(accuracy_score([b for _, b in kept], [a for a, _ in kept]))",
        "print(np.mean([a == b for a, b, one in zip(made, yt, sure) if one.max() > 0.8]))",
        "right = [a == b for a, b in zip(answers, yt) if a != -1]\nprint(sum(right) / len(right))",
    ],
)
def test_rows_that_a_model_abstains_from_are_left_out(code: str) -> None:
    assert [one.rule for one in read_code(HEAD + code, "train.py").selected] == ["test-rows-selected"]


@pytest.mark.parametrize(
    "code",
    [
        "print(np.mean([a == b for a, b in zip(made, yt)]))",
        "print('precision', np.mean([a == b for a, b in zip(made, yt) if a == 1]))",
        "print('recall', np.mean([a == b for a, b in zip(made, yt) if b == 1]))",
        "wrong = [(a, b) for a, b in zip(made, yt) if a != b]\nprint(wrong[:5], accuracy_score(yt, made))",
    ],
)
def test_all_rows_and_the_rows_of_a_class_are_not_a_selection(code: str) -> None:
    facts = read_code(HEAD + code, "train.py")
    assert (facts.selected, facts.findings) == ((), ())
