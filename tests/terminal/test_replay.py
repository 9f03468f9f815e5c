"""A resumed conversation is shown again: its last screens, with calls, and what was left out."""

from ml_intern.outbound.conversation import Call, Message
from ml_intern.terminal.state import Transcript


def conversation(turns: int) -> list[Message]:
    messages = []
    for number in range(turns):
        id = f"c{number}"
        messages += [
            Message("user", f"question {number}"),
            Message("assistant", "", calls=(Call(id, "bash", {"command": f"echo {number}"}),)),
            Message("tool", f"{number}\n[exit code 3]", call_id=id, name="bash", ok=number % 2 == 0, seconds=1.0),
            Message("note", "a note of the program"),
            Message("assistant", f"**answer** {number}"),
        ]
    return messages


def test_a_short_conversation_is_shown_whole_with_its_calls() -> None:
    screen = Transcript()
    screen.replay(conversation(2), 80, 24)
    rows = screen.finished(80, 1)
    assert [row for row in rows if row.strip()] == [
        "> question 0", "✓ bash echo 0  1.0 s, exit code 3", "  0", "answer 0",
        "> question 1", "✗ bash echo 1  1.0 s, exit code 3", "  1", "answer 1",
    ]  # fmt: skip


def test_of_a_long_one_the_last_screens_are_shown_and_what_is_left_out_is_counted() -> None:
    screen = Transcript()
    screen.replay(conversation(500), 40, 15)
    rows = screen.finished(40, 1)
    assert len(rows) <= 2 * 15 + 6
    assert rows[-1] == "answer 499"
    assert "parts of the conversation" in " ".join(rows[:2])
    shown = sum(row.startswith(("> ", "✓", "✗", "answer")) for row in rows)
    assert f"{1500 - shown:,} parts" in rows[0]


def test_files_that_a_mention_added_are_not_shown() -> None:
    screen = Transcript()
    screen.replay([Message("user", 'see @a.txt\n\n<file path="a.txt">\nremember\n</file>')], 80, 24)
    assert screen.finished(80, 1) == ["", "> see @a.txt"]


def test_a_rejected_call_is_not_shown_as_failed() -> None:
    screen = Transcript()
    reply = Message("assistant", "", calls=(Call("c", "bash", {"command": "git push"}),))
    result = Message("tool", "Not run: the user rejected it. not yet", call_id="c", name="bash", ok=False)
    screen.replay([reply, result], 80, 24)
    assert screen.finished(80, 1) == ["⊘ bash git push  rejected: not yet"]


def test_an_empty_row_is_between_two_replies() -> None:
    screen = Transcript()
    screen.replay([Message("assistant", "one"), Message("note", "a note"), Message("assistant", "two")], 80, 24)
    assert screen.finished(80, 1) == ["one", "", "two"]


def test_a_long_message_of_the_user_is_cut_and_says_so() -> None:
    screen = Transcript()
    screen.replay([Message("user", "\n".join(f"line {number}" for number in range(100)))], 80, 24)
    assert screen.finished(80, 1)[-3:] == ["  and 92 more lines", "  line 98", "  line 99"]
    screen.said("\n".join(f"line {number}" for number in range(400)))
    assert screen.finished(80, 1)[-3:] == ["  and 370 more lines", "  line 398", "  line 399"]
