"""Numbers of an answer against numbers that programs printed: bound by name, unit and value."""

import pytest

from ml_intern.evidence.numbers.agreement import Measurements, agrees
from ml_intern.evidence.numbers.stated import stated_in

PRINTED = """epoch 1 train_loss=0.5320 val_loss=0.6110 val_acc=0.7812
epoch 2 train_loss=0.4010 val_loss=0.5550 val_acc=0.8125
test: acc 0.8765 (n=200), majority 0.60
model,acc,f1
svm,0.81,0.80
forest,0.84,0.83
new=0.8450 mean=0.8420 sd=0.0054
BLEU=23.41
mse: 16.81
latency_ms=12.5
"""


def supported(sentence: str) -> dict[str, bool]:
    """Return number -> whether the printed numbers support it."""
    stated = stated_in(sentence)
    measured = Measurements.of_text(PRINTED, "run")
    return {one.text: agrees(one, measured, stated).held for one in stated}


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The test accuracy is 87.65 % on 200 rows.", {"87.65 %": True, "200": True}),
        ("After 2 epochs the validation accuracy is 0.81.", {"2": True, "0.81": True}),
        ("The forest has accuracy 0.84, the SVM 0.81.", {"0.84": True, "0.81": True}),
        ("It beats the majority baseline (0.60) by 27.65 points.", {"0.60": True, "27.65": True}),
        ("| model | accuracy | F1 |\n|---|---|---|\n| forest | 84 % | 0.83 |", {"84 %": True, "0.83": True}),
        ("Accuracy 0.8420 ± 0.0054 over seeds.", {"0.8420": True, "0.0054": True}),
        ("The RMSE is 4.1.", {"4.1": True}),
        ("The latency is 0.0125 s.", {"0.0125": True}),
        ("The error rate is 12.35 %.", {"12.35 %": True}),
        ("With C=0.01 and lr = 0.001 the accuracy is 0.8765.", {"0.8765": True}),
        ("The test gave acc=0.8765, p=0.03.", {"0.8765": True, "0.03": False}),
        ("Validation loss fell by 9.2 %.", {"9.2 %": True}),
        ("The 95 % confidence interval was not computed.", {}),
        ("BLEU is 41.2.", {"41.2": False}),
        ("Accuracy is 91 %.", {"91 %": False}),
        ("The train loss is 0.555.", {"0.555": False}),
        ("The F1 is 0.8765.", {"0.8765": False}),
        ("The latency is 12.5 s.", {"12.5": False}),
        ("The accuracy is 0.8765 %.", {"0.8765 %": False}),
        ("The majority baseline has an accuracy of 0.8765.", {"0.8765": False}),
        ("It is 5x more accurate than the baseline.", {"5": False}),
        ("```\naccuracy 0.9901\n```", {"0.9901": False}),
    ],
)
def test_a_number_is_supported_by_a_printed_one_of_its_name_and_unit(sentence: str, expected: dict[str, bool]) -> None:
    assert supported(sentence) == expected


def test_versions_sizes_dates_and_links_claim_nothing() -> None:
    text = "Python 3.11 and numpy 2.1.0, a 7B model, on 2026-01-02, see https://x.org/1.2 and `a/b_0.5.csv`; seed 13."
    assert stated_in(text) == []
