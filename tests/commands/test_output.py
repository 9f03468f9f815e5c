"""Tables of the subcommands on a narrow terminal."""

import pytest

from ml_intern.terminal.blocks.width import cells
from ml_intern.terminal.render.columns import item_lines, value_lines

HEAD = ("ID", "STATE", "USED", "TITLE", "FOLDER")
ROW = ("98b77cca", "waiting", "2026-11-23 14:10", "修复 the training script and report F1", "/home/me/projects/reviews")
DROP = ("FOLDER", "USED")
PATHS = [("WHAT", "PATH", ""), ("user settings", "/home/me/.config/ml-intern/settings.json", "(does not exist yet)")]


@pytest.mark.parametrize(("room", "shown"), [(100, 5), (80, 5), (64, 4), (40, 3), (34, 3)])
def test_no_line_of_a_list_is_broken_and_the_last_columns_are_left_out(room: int, shown: int) -> None:
    lines = item_lines([HEAD, ROW], room, DROP)
    assert all(cells(line) <= room for line in lines)
    assert lines[0].split() == [name for name in HEAD if name not in DROP[: len(HEAD) - shown]]
    assert lines[1].startswith("98b77cca  waiting  ")


@pytest.mark.parametrize("room", [100, 70, 40, 20])
def test_values_that_are_read_whole_are_never_cut_nor_broken_within_a_word(room: int) -> None:
    lines = value_lines(PATHS, room)
    assert sorted(" ".join(lines).split()) == sorted(word for row in PATHS for cell in row for word in cell.split())
    assert all(cells(line) <= room or len(line.split()) == 1 for line in lines)


def test_values_that_do_not_fit_side_by_side_are_below_the_first() -> None:
    assert value_lines([("NAME", "KEY"), ("anthropic/claude", "ANTHROPIC_API_KEY is not set")], 20) == [
        "NAME  KEY", "anthropic/claude", "  ANTHROPIC_API_KEY", "  is not set",
    ]  # fmt: skip


def test_a_table_that_is_not_for_a_terminal_is_whole() -> None:
    assert all(cell in item_lines([HEAD, ROW], 0, DROP)[1] for cell in ROW)
    assert len(value_lines(PATHS, 0)) == len(PATHS)
