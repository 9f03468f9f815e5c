"""Numbers that nothing supports are found, and ordinary sentences raise no false alarm."""

from pathlib import Path

import pytest

from ml_intern.evidence.checks.numbers import Numbers, number_claims
from ml_intern.evidence.observations import Execution, Observations, Typed
from ml_intern.evidence.programs import programs_of

RESULTS = """\
{"train_loss": 0.2184, "eval": {"accuracy": 0.97314, "f1": 0.8812}, "baseline": 0.5}
step 100 loss: 1.2345 lr 2e-05 grad_norm 0.71
{'loss': 0.9, 'epoch': 1.0} test rows 5,000 perplexity=12.6
accuracy per fold 0.91 0.93 0.95; recall 64.5%; ROUGE-L 41.27; run took 72.4 s; 1,234,567 parameters
"""
SETTINGS = '{"learning_rate": 0.0002, "test_size": 0.2, "warmup_ratio": 0.03, "weight_decay": 0.01}'
RIGHT = (
    "Accuracy is 0.973 on the test split.",
    "Accuracy is 97.3 % (baseline 50 %).",
    "The model reaches **97.31%** accuracy and an F1 of 0.88.",
    "F1: `0.8812`, accuracy: `0.97314`",
    "Training loss fell from 1.2345 to 0.2184.",
    "| model | accuracy | F1 |\n|---|---|---|\n| baseline | 0.50 | - |\n| ours | 0.973 | 0.881 |",
    "| metric | value |\n|---|---|\n| accuracy | 97.3 |\n| perplexity | 12.6 |",
    "It beats the baseline by 47.3 points: 0.973 against 0.500.",
    "Perplexity 13 after 3 epochs.",
    "The mean accuracy over the folds is 0.93 (0.91, 0.93, 0.95).",
    "Recall was 0.645, ROUGE-L 41.3.",
    "I trained with a learning rate of 2e-4, weight decay 0.01 and a warmup ratio of 0.03 for 3 epochs.",
    "20 % of the rows are the test split.",
    "It ran on Python 3.11.7 with torch 2.5.1, transformers 4.46 and CUDA 12.4.",
    "The base model is Qwen2.5-1.5B, in the version of 2026-11-21.",
    "Llama 3.2 and Gemma 2.0 were not tried.",
    "It took 1.2 minutes, used 3.4 GB and cost $0.53.",
    "See arXiv 2106.09685, section 4.2, and https://example.org/a/1.5/b.",
    "1. Load the data\n2. Train\n\n## 3.1 Results\n\nDone.",
    "```python\naccuracy = 0.123\n```\nThe script is above.",
    "Set `accuracy=0.5` in `config.yaml` if you like.",
    "A 90/10 split with seed 42, batch size 8, 4-bit weights, top-5 candidates.",
    "The dataset has 5,000 rows; 1.2M parameters are trained, a 3.5x speed-up is likely.",
    "requires numpy>=1.26 and trl==0.12.1",
    "The score is better at 100 steps than at 50 steps.",
    "Accuracy at epoch 3 was the best; loss after 200 steps went flat.",
    "The loss is NaN from step 12 on.",
    "Done: results.json has the numbers.",
)
WRONG = (
    ("Accuracy is 0.983.", ["0.983"]),
    ("Accuracy is 98 %.", ["98 %"]),
    ("accuracy of 93", ["93"]),
    ("The model reaches 99.1% accuracy.", ["99.1%"]),
    ("The loss fell from 1.2345 to 0.1184.", ["0.1184"]),
    ("| model | accuracy |\n|---|---|\n| ours | 0.973 |\n| theirs | 0.611 |", ["0.611"]),
    ("| metric | value |\n|---|---|\n| accuracy | 88.8 |", ["88.8"]),
    ("It is 35.7% better than before.", ["35.7%"]),
    ("Perplexity: 17", ["17"]),
    ("The accuracy is 0.03 on held-out data.", ["0.03"]),
    ("BLEU 27.3 and F1 0.8812", ["27.3"]),
)


def marked(answer: str) -> list[str]:
    folder = Path("/nowhere")
    run = Execution("run 1", "python train.py", RESULTS, began=2.0, programs=programs_of("python train.py", folder))
    seen = Observations(folder, (folder,), "", (run,), (Typed(1.0, SETTINGS),))
    claims = number_claims(answer, Numbers(seen))
    return [one.text for one in claims if one.state in ("unsupported", "contradicted")]


@pytest.mark.parametrize("answer", RIGHT)
def test_printed_rounded_derived_and_other_numbers_are_not_marked(answer: str) -> None:
    assert marked(answer) == []


@pytest.mark.parametrize(("answer", "numbers"), WRONG)
def test_a_number_that_nothing_supports_is_marked(answer: str, numbers: list[str]) -> None:
    assert [one.split(" ", one.count(" ") - numbers[0].count(" "))[-1] for one in marked(answer)] == numbers


def test_a_long_answer_takes_no_longer_than_its_length() -> None:
    assert marked("accuracy 0.123 " * 20_000)
