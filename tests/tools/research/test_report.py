"""Every claim of a report cites a source that was read, or is marked."""

import pytest

from ml_intern.tools.research.research import NO_SOURCE, NOT_SEEN, review

SEEN = [
    "https://huggingface.co/docs/trl/sft_trainer",
    '{"path": "train.py"}',
    "text of arXiv 2106.09685v2",
    "uv pip list",
]


@pytest.mark.parametrize(
    "claim",
    [
        "- The trainer takes `messages` or `prompt` and `completion` [https://huggingface.co/docs/trl/sft_trainer#data]",
        "- The trainer takes `messages` ([docs](https://huggingface.co/docs/trl/sft_trainer)).",
        "- The trainer takes `messages`, see https://huggingface.co/docs/trl/sft_trainer.",
        "- LoRA uses rank 8 and alpha 16 in the paper [arXiv:2106.09685, section 4.2]",
        "- The script sets the seed to 13 before it splits [train.py:12-20]",
        "- The script sets the seed to 13 before it splits [notes.md; train.py:12]",
        "- A smaller rank would do for this data set as well [my inference]",
        "* The trainer takes messages since version one [1]\n\nSources:\n[1] https://huggingface.co/docs/trl/sft_trainer",
    ],
)
def test_a_claim_with_a_source_that_was_read_is_unchanged(claim: str) -> None:
    reviewed = review(claim, SEEN)
    assert (reviewed.text, reviewed.correction) == (claim, "")


@pytest.mark.parametrize(
    ("claim", "mark"),
    [
        ("- The learning rate of the paper is 2e-4 with AdamW", NO_SOURCE),
        ("The learning rate of the paper is 2e-4 with AdamW and this is prose.", NO_SOURCE),
        ("- The learning rate of the paper is 2e-4 [https://example.org/invented]", NOT_SEEN),
        ("- The learning rate of the paper is 2e-4 [arXiv:9999.12345]", NOT_SEEN),
        ("- The learning rate of the paper is 2e-4 [general knowledge]", NOT_SEEN),
        ("- Unknown to many: the learning rate of the paper is 2e-4", NO_SOURCE),
        ("## Not found\n\n- A second source\n\n## Recipe\n\n- The learning rate of the paper is 2e-4", NO_SOURCE),
    ],
)
def test_any_other_claim_is_marked_and_listed_in_the_correction(claim: str, mark: str) -> None:
    reviewed = review(claim, SEEN)
    assert reviewed.text == f"{claim} {mark}"
    assert "2e-4" in reviewed.correction


def test_headings_code_tables_gaps_and_source_lists_are_not_claims() -> None:
    report = """# Report on the trainer of supervised runs

The recipe as the script has it:

- These are its arguments, all of them [train.py:3]

```python
this_line_of_code_is_long_enough_to_be_taken_for_a_claim = True
```

| argument of the trainer | its value in the script |
|---|---|
| learning_rate_of_the_model | 0.0002 and not more |

## Not found

- Whether a cosine schedule would be better for this model

Sources:
- https://huggingface.co/docs/trl/sft_trainer
"""
    assert review(report, SEEN).text == report.rstrip("\n")


def test_a_claim_over_several_lines_is_marked_at_its_end() -> None:
    report = "- The learning rate of the paper\n  is 2e-4 with AdamW\n- The seed is thirteen in the script [train.py]"
    assert review(report, SEEN).text.splitlines()[1] == f"  is 2e-4 with AdamW {NO_SOURCE}"
