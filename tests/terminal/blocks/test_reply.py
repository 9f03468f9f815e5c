"""Replies as rows: Markdown at every width, and code that copies clean."""

from ml_intern.terminal.blocks.reply import code_blocks, reply_rows
from ml_intern.terminal.theme import Theme
from tests.terminal.screens import HOSTILE, PROSE, check_rows, compare, words_are_whole

LONG_CODE = "model = AutoForSequenceClassification.from_pretrained('distilbert/distilbert-base-uncased', num_labels=3)"
REPLY = f"""\
# Result of the *baseline*

{PROSE}
It is a `macro F1` of **0.93**, see [the card](https://example.org/card) and <https://example.org>.

1. first, load the data with the tokenizer that belongs to the model
   - {PROSE}
   - short
2. then train

> {PROSE}

| model | macro F1 | remark |
|---|---:|---|
| distilbert | 0.93 | the best one so far, and the fastest to train on this machine |
| logistic regression | 0.81 | baseline |

```python
{LONG_CODE}

for epoch in range(3):
\ttrain()
```

- [ ] ship it
- ~~tune~~

---
<b>bold</b> 中文 text {HOSTILE}
"""


def test_a_reply_at_every_width() -> None:
    compare("reply", lambda width, theme: reply_rows(REPLY.replace(f"{LONG_CODE}\n", ""), width, theme))


def test_code_stays_whole_and_gets_no_blanks() -> None:
    for width in (40, 50, 80, 100):
        rows = reply_rows(f"- item\n\n  ```python\n  {LONG_CODE}\n\n  x = 1\n  ```\n", width, Theme("none"))
        assert any(row.strip() == LONG_CODE for row in rows)
        assert all(row == row.rstrip() for row in rows)
    top = reply_rows(f"```python\n{LONG_CODE}\n    x = 1\n```", 40, Theme("none"))
    assert top == [LONG_CODE, "    x = 1"]
    check_rows(lambda width, theme: reply_rows(REPLY, width, theme), whole_code=True)


def test_words_are_not_broken_where_a_blank_is() -> None:
    for width in (20, 40, 50, 80, 100):
        words_are_whole(PROSE, reply_rows(PROSE, width, Theme("none")), width)
        words_are_whole(PROSE, reply_rows(f"- {PROSE}\n\n> {PROSE}", width, Theme("none")), width)


def test_an_unfinished_reply_is_shown_as_far_as_it_is() -> None:
    for end in range(0, len(REPLY), 7):
        check_rows(lambda width, theme: reply_rows(REPLY[:end], width, theme), (40,), whole_code=True)  # noqa: B023


def test_the_code_of_a_reply_can_be_copied_exactly() -> None:
    assert code_blocks(f"a\n```python\n{LONG_CODE}\n\tx\n```\nb\n\n    indented\n") == [
        f"{LONG_CODE}\n\tx\n",
        "indented\n",
    ]


def test_a_link_shows_its_address() -> None:
    (row,) = reply_rows("[huggingface.co](https://evil.example)", 100, Theme("none"))
    assert row == "huggingface.co (https://evil.example)"
