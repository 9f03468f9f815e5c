"""Conclusions and techniques in an answer are stated as missing only where nothing in the thread was run for them."""

import asyncio
from pathlib import Path

import pytest

from ml_intern.evidence.gate import check_answer
from ml_intern.evidence.observations import Observations
from tests.evidence.test_gate import ran

TWO = "logreg accuracy: 0.8100\nforest accuracy: 0.8400"
ONE = "accuracy: 0.8400"
SAID = "The forest has accuracy 0.84 and logistic regression 0.81; "
ACCURACY = "The accuracy on test.csv is 0.84. "


def rules(answer: str, folder: Path, text: str, code: str, reports: tuple[tuple[str, str], ...] = ()) -> list[str]:
    (folder / "train.py").write_text(code)
    run = ran(folder, text=text, opened=("train.csv", "test.csv"))
    seen = Observations(folder, (folder,), "", (run,), reports=reports, level="quick")
    return [one.rule for one in asyncio.run(check_answer(answer, seen)).findings]


@pytest.mark.parametrize(
    ("answer", "text", "code", "expected"),
    [
        (SAID + "the difference is statistically significant.", TWO, "fit()", ["significance not tested"]),
        (SAID + "the forest is significantly better.", TWO, "fit()", ["significance not tested"]),
        (SAID + "the forest is significantly better.", TWO, "from scipy.stats import wilcoxon\nfit()", [
            "significance not tested"
        ]),
        (SAID + "the gap is real (p < 0.01).", TWO, "fit()", ["significance not tested"]),
        (SAID + "the forest is significantly better.", TWO, "binomtest(3, 10)", []),
        (SAID + "the difference is significant (p = 0.003).", TWO + "\np = 0.003", "fit()", []),
        (SAID + "whether the difference is statistically significant was not tested.", TWO, "fit()", []),
        (
            ACCURACY + "It clearly outperforms the logistic regression baseline.",
            ONE,
            "fit()",
            ["baseline not measured"],
        ),
        (ACCURACY + "It beats the previous model.", ONE, "fit()", ["baseline not measured"]),
        (ACCURACY + "It beats the baseline.", ONE + "\nbaseline accuracy: 0.51", "fit()", []),
        (ACCURACY + "It beats the old model.", TWO, "fit()", []),
        (ACCURACY + "It does not beat the baseline.", ONE, "fit()", []),
        (ACCURACY + "This is state-of-the-art performance.", ONE, "fit()", ["state of the art"]),
        (ACCURACY + "It achieves a new state of the art.", ONE, "fit()", ["state of the art"]),
        (ACCURACY + "BERT is a state-of-the-art model for text.", ONE, "fit()", []),
        (ACCURACY + "It is not state of the art.", ONE, "fit()", []),
        (ACCURACY + "It generalises to unseen domains.", ONE, "fit()", ["other data not tried"]),
        (ACCURACY + "It is robust to noise.", ONE, "fit(x + noise)", []),
        (ACCURACY + "Whether it generalises to other hospitals is unknown.", ONE, "fit()", []),
        (ACCURACY + "It generalises well.", ONE, "fit()", []),
    ],
)  # fmt: skip
def test_a_conclusion_needs_what_it_was_concluded_from(
    answer: str, text: str, code: str, expected: list[str], tmp_path: Path
) -> None:
    assert rules(answer, tmp_path, text, code) == expected


def test_results_of_others_that_were_read_are_what_an_answer_compares_with(tmp_path: Path) -> None:
    answer = ACCURACY + "It beats the baseline and is state-of-the-art performance."
    read = (("web_fetch", "Table 2: the best published accuracy is 0.83"),)
    assert rules(answer, tmp_path, ONE, "fit()", read) == []


@pytest.mark.parametrize(
    ("answer", "code", "expected"),
    [
        ("Trained with bf16 mixed precision.", "loss.backward()", ["technique not in the code"]),
        ("Trained with bf16 mixed precision.", "with autocast('cpu', enabled=False):\n    pass", [
            "technique not in the code"
        ]),
        ("Trained with bf16 mixed precision.", "Args(bf16=False)", ["technique not in the code"]),
        ("Trained with bf16 mixed precision.", "Args(bf16=True)", []),
        ("Trained with bf16 mixed precision.", "model.to(torch.bfloat16)", []),
        ("Fine-tuned using LoRA.", "model.fit()  # LoRA", ["technique not in the code"]),
        ("Fine-tuned using LoRA.", "from peft import get_peft_model", []),
        ("The classes were balanced with SMOTE.", "fit()", ["technique not in the code"]),
        ("Tuned by a grid search.", "LogisticRegression(C=1)", ["technique not in the code"]),
        ("Tuned by a grid search.", "for c in (1, 2):\n    fit(c)", []),
        ("Evaluated by stratified 5-fold cross-validation.", "train_test_split(x)", ["technique not in the code"]),
        ("Evaluated by cross-validation.", "RidgeCV().fit(x, y)", []),
        ("Trained with a cosine schedule.", "SGD(lr=0.1)", ["technique not in the code"]),
        ("Trained without early stopping.", "fit()", []),
        ("You could try it with LoRA.", "fit()", []),
        ("It is reproducible with seed 123.", "MLPClassifier()", ["seed-not-set"]),
        ("It is reproducible with seed 123.", "MLPClassifier(random_state=int(sys.argv[1]))", []),
    ],
)  # fmt: skip
def test_a_technique_is_in_the_code_that_ran(answer: str, code: str, expected: list[str], tmp_path: Path) -> None:
    assert rules(f"{ACCURACY}{answer}", tmp_path, ONE, code) == expected
