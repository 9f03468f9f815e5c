"""The report of a search agrees with the search, and shows nothing that it does not have."""

from dataclasses import replace

from ml_intern.search.report import report_of
from ml_intern.search.scores import score_of
from ml_intern.search.tree import SearchTree
from ml_intern.search.views.rows import attempt_rows, progress
from tests.search.records import finished_search, running_search
from tests.search.trees import ACCURACY, tree_of


def section(text: str, heading: str) -> str:
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].strip()


def test_the_result_shows_validation_rerun_and_holdout_side_by_side() -> None:
    text = report_of(finished_search()).markdown()
    assert section(text, "Result").splitlines() == [
        "Attempt 5 is the winner on the branch `improve/s1/5`: more trees. 0.695 to 0.79: chance alone gives this with "
        "a probability of 1e-05; the limit is 0.025.",
        "",
        "|  | baseline | attempt 5 | gain |",
        "| --- | --- | --- | --- |",
        "| validation | 0.7 [0.6752, 0.7248] | 0.8 [0.7752, 0.8248] | +0.1 |",
        "| run again with new seeds | 0.695 [0.6702, 0.7198] | 0.79 [0.7652, 0.8148] | +0.095 |",
        "| hold-out | 0.69 | 0.78 | +0.09 |",
    ]


def test_the_report_shows_what_each_change_contributes_and_what_was_tried_in_vain() -> None:
    text = report_of(finished_search()).markdown()
    assert "| 2 | add the &lt;ratio> \\| of calls | 0.76 [0.7352, 0.7848] | +0.03 |  |" in text
    assert "| 5 | more trees | - | - | it cannot be taken out alone |" in text
    vain = section(text, "Tried in vain")
    assert [line.split(" | ")[3:] for line in vain.splitlines()[2:]] == [
        ["not better", "within the noise |"],
        ["crashed", "exit code 1: MemoryError |"],
        ["refused", "changed eval.py, which is locked |"],
        ["stopped", "the time limit |"],
    ]
    assert "+trees = 100" in section(text, "Changes of the winner")


def test_the_costs_add_up_and_an_unknown_one_is_said() -> None:
    done = finished_search()
    assert section(report_of(done).markdown(), "Cost").splitlines()[2:] == [
        "| better | 2 | $0.55 |",
        "| not better | 1 | $0.20 |",
        "| crashed | 1 | $0.10 |",
        "| refused | 1 | $0.10 |",
        "| stopped | 1 | $0.05 |",
        "| all attempts | 6 | $1.00 |",
    ]
    unknown = replace(done.tree[1], cost_usd=None)
    tree = SearchTree(ACCURACY, (done.tree[0], unknown, *done.tree.attempts[2:]))
    text = report_of(replace(done, tree=tree, spent_usd=None)).markdown()
    assert "| all attempts | 6 | cost unknown |" in text
    assert "- cost: cost unknown of $10.00" in text


def test_the_page_escapes_ideas_draws_the_curve_and_loads_nothing() -> None:
    page = report_of(finished_search()).html()
    assert "<ratio>" not in page
    assert "add the &lt;ratio&gt; | of calls" in page
    assert page.count("<circle") == 4
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_card_has_the_result_only_with_a_winner() -> None:
    assert "| hold-out | 0.69 | 0.78 | +0.09 |" in report_of(finished_search()).card
    assert report_of(running_search()).card == ""


def test_a_search_that_runs_has_a_report_without_a_winner() -> None:
    text = report_of(running_search()).markdown()
    assert section(text, "Result").startswith("No winner: the search has not been concluded.")
    assert "1 attempt without a result" in text
    assert "## Run again" not in text


def test_an_exact_evaluator_is_a_limit_of_the_report() -> None:
    same = replace(finished_search().tree[0], score=score_of([0.7] * 3, range(3)))
    text = report_of(replace(running_search(), tree=SearchTree(ACCURACY, (same,)))).markdown()
    assert "- noise: none between evaluations" in text
    assert "Gains were not tested against noise" in text


def test_each_attempt_is_drawn_once_below_its_parent() -> None:
    assert [row.name for row in attempt_rows(finished_search().tree)] == [
        "0 baseline",
        "├ 1 improve",
        "└ 2 improve",
        "  ├ 3 improve",
        "  │ └ 4 debug",
        "  └ 5 improve",
        "    └ 6 combine + 2",
    ]
    rows = attempt_rows(running_search(500).tree)
    assert sorted(row.attempt.number for row in rows) == list(range(501))


def test_a_line_of_500_attempts_stays_narrow() -> None:
    rows = attempt_rows(tree_of([("improve", "accepted", (number,), 0.7 + number / 1000) for number in range(500)]))
    assert max(len(row.lines) for row in rows) < 40
    assert [row.attempt.number for row in rows if row.best] == [500]


def test_the_best_metric_so_far_is_a_curve_of_steps() -> None:
    steps, dots = progress(finished_search().tree)
    assert [(x, round(y, 3)) for x, y in steps] == [(0, 0.7), (2, 0.7), (2, 0.75), (5, 0.75), (5, 0.8), (6, 0.8)]
    assert len(dots) == 4
