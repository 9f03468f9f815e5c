"""The table of slash commands, and what is taken for one."""

import pytest

from ml_intern.terminal.slash.table import BY_NAME, SLASH_COMMANDS, find_command, help_lines, nearest, slash_table


def test_no_two_commands_share_a_name() -> None:
    assert len(BY_NAME) == sum(len(command.names) for command in SLASH_COMMANDS)


@pytest.mark.parametrize("name", ["/help", "/quit", "/usage", "/tokens", "/context", "/HELP"])
def test_names_and_aliases_are_found(name: str) -> None:
    command, argument, _ = find_command(f"{name} some words")
    assert command is not None
    assert argument == "some words"


@pytest.mark.parametrize(
    "line", ["hello", "/etc/hosts is wrong", " /help", "a /help", "/tmp/x", "@/help", "/undo\nthen"]
)
def test_other_lines_are_messages(line: str) -> None:
    command, _, name = find_command(line)
    assert (command, name) == (None, "")


@pytest.mark.parametrize(("line", "name"), [("/he", "/help"), ("/mod x", ""), ("/us", "/cost"), ("/h", ""), ("/", "")])
def test_the_beginning_of_one_name_is_enough(line: str, name: str) -> None:
    command = find_command(line)[0]
    assert (command.name if command else "") == name


def test_an_unknown_command_is_named_with_its_nearest() -> None:
    assert find_command("/hlep me") == (None, "me", "/hlep")
    assert nearest("/hlep") == "/help"
    assert nearest("/zzzz") == ""


@pytest.mark.parametrize("width", [40, 80, 100])
def test_help_has_two_columns_at_every_width(width: int) -> None:
    *commands, _ = help_lines(width)[: help_lines(width).index("") + 1]
    meanings = [line for line in commands if not line.startswith("/") or "  " in line]
    assert all(len(line) < width for line in meanings)
    starts = {len(line) - len(line.split("  ")[-1].lstrip()) for line in meanings}
    assert len(starts) == 1


def test_help_and_the_readmes_table_hold_every_command() -> None:
    text, table = "\n".join(help_lines()), slash_table()
    for command in SLASH_COMMANDS:
        for name in command.names:
            assert name in text
            assert f"{name}" in table
