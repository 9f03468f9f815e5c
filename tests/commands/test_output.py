"""Tables of the subcommands on a narrow terminal."""

import pytest

from ml_intern.commands.output import aligned

HEAD = ("ID", "STATE", "USED", "TITLE", "FOLDER")
ROW = ("98b77cca", "waiting", "2026-11-23 14:10", "fix the training script and report F1", "/home/me/projects/reviews")


@pytest.mark.parametrize("room", [100, 80, 64])
def test_no_row_is_broken_and_ids_and_times_stay_whole(room: int) -> None:
    lines = aligned([HEAD, ROW], room)
    assert all(len(line) <= room for line in lines)
    assert lines[1].startswith("98b77cca  waiting  2026-11-23 14:10  fix the")
    assert lines[0].index("FOLDER") == lines[1].index("/home")
    assert "…" in lines[1]


def test_a_table_that_is_not_for_a_terminal_is_whole() -> None:
    assert all(cell in aligned([HEAD, ROW], 0)[1] for cell in ROW)
