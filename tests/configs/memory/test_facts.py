"""The lines of a memory file: they are read as they were written, and other lines stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_intern.configs.memory.facts import MAX_ADVICE, Fact, as_advice, facts_in, parse_fact, replaced

words = st.text("abc 0.-'/:~", min_size=1, max_size=40).map(str.strip).filter(lambda text: text and "~~" not in text)


@given(words.filter(lambda text: not text.startswith("~")), words, st.sampled_from(["", "2026-11-24"]))
def test_a_fact_is_read_as_it_was_written(text: str, evidence: str, contradicted: str) -> None:
    fact = Fact(text, "2026-11-23", evidence, contradicted)
    if not text.endswith("~") and "; contradicted" not in evidence:
        assert parse_fact(fact.line) == fact


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ("- lr above 3e-4 diverges", Fact("lr above 3e-4 diverges")),
        ("- bf16 fails (on this GPU)", Fact("bf16 fails (on this GPU)")),
        ("- use `uv run` (2026-11-23)", Fact("use `uv run`", "2026-11-23")),
        ("- x (2026-11-23, from notes (old).md)", Fact("x", "2026-11-23", "notes (old).md")),
    ],
)
def test_lines_of_the_user_are_facts(line: str, fact: Fact) -> None:
    assert parse_fact(line) == fact


def test_changing_a_fact_leaves_every_other_line() -> None:
    text = "# Title\n\n- one\nsome words\n  - nested\n- two\n"
    assert {number: fact.text for number, fact in facts_in(text).items()} == {1: "one", 2: "two"}
    assert replaced(text, 2, Fact("three")) == "# Title\n\n- one\nsome words\n  - nested\n- three\n"
    assert replaced(text, 1, None) == "# Title\n\nsome words\n  - nested\n- two\n"


def test_the_model_gets_the_latest_facts_that_fit_and_how_many_are_omitted() -> None:
    text = "".join(f"- fact {number} {'x' * 90}\n" for number in range(1, 101))
    advice = as_advice(text)
    assert len(advice) < MAX_ADVICE + 50
    assert advice.startswith("100. fact 100 ")
    shown = advice.count("fact ")
    assert advice.endswith(f"[{100 - shown} older facts omitted]")
    assert as_advice("# Title\n") == ""
