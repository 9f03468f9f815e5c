"""How the command line is split before Typer sees it."""

import pytest

from ml_intern.commands.argv import split
from ml_intern.commands.options import OPTIONS, SWITCHES, seconds
from ml_intern.commands.table import COMMANDS
from ml_intern.configs.errors import UsageError


def words(text: str) -> tuple[str, tuple[str, ...]]:
    request = split(text.split())
    return request.command, request.words


@pytest.mark.parametrize(
    ("line", "command", "rest"),
    [
        ("", "run", ""),
        ("hello", "run", "-- hello"),
        ("-m a/b hello", "run", "-m a/b -- hello"),
        ("hello -m a/b", "run", "-m a/b -- hello"),
        ("--model=a/b hello", "run", "--model=a/b -- hello"),
        ("-qm a/b hello", "run", "-qm a/b -- hello"),
        ("-ma/b hello", "run", "-ma/b -- hello"),
        ("-- --hello", "run", "-- --hello"),
        ("-q -- threads", "run", "-q -- threads"),
        ("--max-iterations -1 hello", "run", "--max-iterations -1 -- hello"),
        ("-", "run", "-- -"),
        ("threads list --json", "threads list", "--json"),
        ("-m a/b threads list", "threads list", "-m a/b"),
        ("threads -C x show y", "threads show", "y -C x"),
        ("config -C x show", "config show", "-C x"),
        ("doctor --probe", "doctor", "--probe"),
        ("-m threads doctor -- x", "doctor", "-m threads -- x"),
    ],
)
def test_the_first_word_names_a_subcommand_or_is_the_prompt(line: str, command: str, rest: str) -> None:
    assert words(line) == (command, tuple(rest.split()))


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("-r", "--resume="),
        ("-r -p hi", "--resume= -p -- hi"),
        ("-r abc", "--resume=abc"),
        ("-r abc hi", "--resume=abc -- hi"),
        ("--resume", "--resume="),
        ("--resume abc", "--resume=abc"),
        ("--resume=abc", "--resume=abc"),
        ("-pr abc", "-p --resume=abc"),
        ("-rabc", "-rabc"),
        ("-r -- hi", "--resume= -- hi"),
        ("hi -r", "--resume= -- hi"),
    ],
)
def test_resume_takes_a_thread_or_stands_alone(line: str, rest: str) -> None:
    assert words(line) == ("run", tuple(rest.split()))


@pytest.mark.parametrize("word", ["thread", "THREADS", "threds", "deom", "tool", "doctr", "confg", "permission", "run"])
def test_one_word_close_to_a_subcommand_is_never_a_run(word: str) -> None:
    with pytest.raises(UsageError, match="did you mean"):
        split([word])


@pytest.mark.parametrize("prompt", ["hello", "train", "fix the threads", "tool use", "explain", "jog", "ünïcode", "1"])
def test_other_prompts_run(prompt: str) -> None:
    assert split([prompt]).words == ("--", prompt)


@pytest.mark.parametrize("word", [*COMMANDS, "thread"])
@pytest.mark.parametrize("switch", ["-p", "--print", "-qp", "-pq"])
def test_p_forces_a_prompt(word: str, switch: str) -> None:
    assert split([switch, word]).words == (switch, "--", word)


def test_several_words_are_refused_instead_of_run_in_part() -> None:
    with pytest.raises(UsageError, match="in quotes"):
        split(["fix", "it"])


@pytest.mark.parametrize("line", ["threads", "threads lst", "config --json", "threads -C list"])
def test_a_group_without_its_action_names_the_actions(line: str) -> None:
    with pytest.raises(UsageError, match=r"use (threads|config)"):
        split(line.split())


@pytest.mark.parametrize(
    ("line", "wants"),
    [
        ("--help", "help"),
        ("-h", "help"),
        ("hello --help", "help"),
        ("threads --help", "help"),
        ("threads list -h", "help"),
        ("-V", "version"),
        ("-qV", "version"),
        ("--version", "version"),
        ("-- --help", ""),
    ],
)
def test_help_and_version_are_seen(line: str, wants: str) -> None:
    assert split(line.split()).wants == wants


@pytest.mark.parametrize(
    ("text", "length"), [("90", 90), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2D", 172800)]
)
def test_durations_are_read(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "x", "-5", "0", "0s", "1h30", "5 minutes", "1e3", "inf", "m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a valid duration"):
        seconds(text)


def test_no_two_options_share_a_word() -> None:
    assert len(SWITCHES) == sum(len(spec.switches) for spec in OPTIONS.values())
