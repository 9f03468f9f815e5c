"""The view of a search: keys in, attempts and rows out."""

from dataclasses import replace

from ml_intern.search.tree import SearchTree
from ml_intern.terminal.theme import Theme
from ml_intern.terminal.views.outcome import CANCELLED, Chosen
from ml_intern.terminal.views.search import SearchView
from tests.search.records import finished_search, running_search
from tests.search.trees import ACCURACY
from tests.terminal.screens import HOSTILE, check_rows, compare

PLAIN = Theme("none")


def test_the_search_at_every_width() -> None:
    compare("search", lambda width, theme: SearchView(finished_search()).rows(width, 24, theme))


def test_hostile_ideas_stay_in_their_row() -> None:
    search = running_search(3)
    hostile = replace(search.tree[1], idea=HOSTILE, why=HOSTILE, branch=HOSTILE)
    tree = SearchTree(ACCURACY, (search.tree[0], hostile, *search.tree.attempts[2:]))
    view = SearchView(replace(search, tree=tree, why=HOSTILE))
    view.handle("up")
    check_rows(lambda width, theme: view.rows(width, 20, theme))


def test_the_latest_attempt_is_selected_until_the_user_moves() -> None:
    view = SearchView(running_search(5))
    view.update(running_search(8))
    assert view.selected is not None
    assert view.selected.number == 8
    view.handle("pageup")
    view.handle("down")
    moved = view.selected
    view.update(running_search(12))
    assert view.selected == moved
    assert view.handle("enter") == Chosen(moved)
    assert view.handle("esc") == CANCELLED


def test_of_500_attempts_the_selected_one_is_among_the_rows_that_fit() -> None:
    view = SearchView(running_search(500))
    rows = view.rows(100, 30, PLAIN)
    assert len(rows) == 30
    assert any(row.startswith(("> ", "▸ ")) for row in rows)
    assert "500 attempts of 60, 1 running" in rows[1]


def test_a_search_without_attempts_has_no_tree() -> None:
    empty = replace(running_search(), tree=SearchTree(ACCURACY))
    view = SearchView(empty)
    assert view.handle("enter") is None
    assert view.handle("down") is None
    check_rows(lambda width, theme: view.rows(width, 20, theme))
