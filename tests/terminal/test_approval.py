"""The approval dialogue: what each answer decides, and that nothing else decides anything."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ml_intern.terminal.approval import ApprovalDeferred, Dialogue, NewMessage, edit_in
from ml_intern.terminal.screen import Screen

BASH = {"id": "c1", "name": "bash", "args": {"command": "ls", "timeout": 5}, "description": "bash can change things"}
WRITE = {"id": "c2", "name": "write", "args": {"path": "n", "content": "a\n"}, "description": "writes"}
OTHER = {"id": "c3", "name": "other", "args": {"n": 1}, "description": "unknown"}
QUESTION = {"id": "q1", "name": "question", "args": {}, "description": "5.00 USD are spent. Continue?"}


class Person:
    """Answers from a list; None is Ctrl-D, an exception is raised."""

    def __init__(self, *answers: str | BaseException | None) -> None:
        self.answers = list(answers)
        self.questions: list[str] = []
        self.defaults: list[str] = []

    async def line(self, question: str, default: str = "") -> str | None:
        self.questions.append(question)
        self.defaults.append(default)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


async def decided(person: Person, *requests: dict[str, Any], folder: Path = Path("/nowhere")) -> tuple[Any, str]:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=100))
    decisions = await Dialogue(screen, person, folder).decide(requests)
    assert not person.answers
    return decisions, out.getvalue()


@pytest.fixture(autouse=True)
def no_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.delenv("VISUAL", raising=False)


async def test_each_request_is_shown_and_answered_by_its_id() -> None:
    decisions, shown = await decided(Person("y", "n"), BASH, WRITE)
    assert decisions == {"c1": {"type": "approve"}, "c2": {"type": "reject"}}
    assert "$ ls" in shown
    assert "timeout: 5" in shown
    assert "bash can change things" in shown
    assert "n (new)" in shown


@pytest.mark.parametrize(
    ("answers", "message"),
    [(["r", "use uv"], "use uv"), (["r use uv"], "use uv"), (["n use uv"], "use uv"), (["no"], None)],
)
async def test_a_reason_goes_with_the_no(answers: list[str], message: str | None) -> None:
    decisions, _ = await decided(Person(*answers), BASH)
    assert decisions["c1"] == ({"type": "reject", "message": message} if message else {"type": "reject"})


@pytest.mark.parametrize("odd", ["", "x", "yy", "ja", "a", "all", "1", "ok", "é"])
async def test_nothing_but_an_answer_is_an_answer(odd: str) -> None:
    decisions, _ = await decided(Person(odd, "n"), BASH)
    assert decisions["c1"]["type"] == "reject"


async def test_a_sentence_rejects_the_call_with_that_reason_and_the_next_one_is_asked() -> None:
    decisions, shown = await decided(Person("maybe", " Do it another way ", "y"), BASH, WRITE)
    assert decisions == {"c1": {"type": "reject", "message": "Do it another way"}, "c2": {"type": "approve"}}
    assert "Unknown answer" in shown


@pytest.mark.parametrize(
    "sentence", ["a different way", "all of it is wrong", "t his", "edit it first", "vi ew", "e x"]
)
async def test_a_sentence_that_begins_like_an_answer_approves_nothing(sentence: str) -> None:
    decisions, _ = await decided(Person(sentence, "n"), BASH, WRITE)
    assert [decision["type"] for decision in decisions.values()] == ["reject", "reject"]
    assert decisions["c1"] == {"type": "reject", "message": sentence}


@pytest.mark.parametrize("sentence", ["y but use uv", "yes please"])
async def test_a_yes_with_more_words_is_asked_again(sentence: str) -> None:
    decisions, shown = await decided(Person(sentence, "n"), BASH)
    assert decisions == {"c1": {"type": "reject"}}
    assert "Type y (alone), n" in shown


async def test_a_sentence_at_a_question_about_the_turn_is_the_next_message() -> None:
    with pytest.raises(NewMessage, match=r"^Do it another way$"):
        await decided(Person("Do it another way"), {"id": "q", "name": "question", "args": {}, "description": "?"})


async def test_all_means_the_rest_of_the_batch() -> None:
    decisions, shown = await decided(Person("n", "a"), BASH, WRITE, OTHER)
    assert [decision["type"] for decision in decisions.values()] == ["reject", "approve", "approve"]
    assert list(decisions) == ["c1", "c2", "c3"]
    assert "other asks" not in shown


async def test_a_command_is_edited_in_place_and_confirmed() -> None:
    person = Person("e", "ls -l", "y")
    decisions, shown = await decided(person, BASH)
    assert decisions["c1"] == {"type": "edit", "args": {"command": "ls -l", "timeout": 5}}
    assert person.defaults[1] == "ls"
    assert "$ ls -l" in shown


@pytest.mark.parametrize("answers", [["e", "ls", "n"], ["e", "ls -l", "no", "n"]])
async def test_an_edit_can_be_given_up(answers: list[str]) -> None:
    decisions, _ = await decided(Person(*answers), BASH)
    assert decisions["c1"] == {"type": "reject"}


async def test_the_editor_edits_the_telling_argument(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import sys; p = sys.argv[1]; t = open(p).read(); open(p, 'w').write(t.replace('a', 'b') + 'c\\n')"
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {editor}")
    decisions, _ = await decided(Person("e", "y"), WRITE, folder=tmp_path)
    assert decisions["c2"] == {"type": "edit", "args": {"path": "n", "content": "b\nc\n"}}


async def test_other_tools_are_edited_as_json() -> None:
    in_place = {**OTHER, "args": {}}
    decisions, _ = await decided(Person("e", '{"n": 2}', "y"), in_place)
    assert decisions["c3"] == {"type": "edit", "args": {"n": 2}}
    decisions, shown = await decided(Person("e", '{"n": ', "n"), in_place)
    assert decisions["c3"] == {"type": "reject"}
    assert "not a JSON object" in shown


@pytest.mark.parametrize("text", ["[1]", "3", "null"])
async def test_arguments_stay_an_object(text: str) -> None:
    decisions, _ = await decided(Person("e", text, "n"), {**OTHER, "args": {}})
    assert decisions["c3"] == {"type": "reject"}


async def test_view_shows_what_was_cut() -> None:
    long = {**BASH, "args": {"command": "\n".join(f"line {number}" for number in range(100))}}
    _, shown = await decided(Person("v", "n"), long)
    assert shown.count("line 99") == 1


async def test_a_question_is_yes_or_no() -> None:
    person = Person("e", "v", "y")
    decisions, shown = await decided(person, QUESTION)
    assert decisions == {"q1": {"type": "approve"}}
    assert "5.00 USD are spent" in shown
    assert "edit" not in person.questions[0]


async def test_leaving_answers_nothing() -> None:
    with pytest.raises(ApprovalDeferred):
        await decided(Person("y", None), BASH, WRITE)
    with pytest.raises(KeyboardInterrupt):
        await decided(Person(KeyboardInterrupt()), BASH)


@pytest.mark.parametrize("editor", ["false", "/nowhere/editor", "'unclosed"])
def test_an_editor_that_fails_changes_nothing(editor: str) -> None:
    assert edit_in(editor, "text") is None


def test_editors_that_add_a_newline_change_nothing() -> None:
    add = f"{sys.executable} -c \"import sys; open(sys.argv[1], 'a').write(chr(10))\""
    assert edit_in(add, "text") == "text"


ALWAYS = {**BASH, "always": [{"tool": "bash", "prefix": ["git", "add"]}, {"tool": "bash", "prefix": ["make"]}]}


@pytest.mark.parametrize(("word", "scope"), [("t", "thread"), ("g", "folder")])
async def test_always_is_offered_with_its_prefixes_and_where_it_holds(word: str, scope: str) -> None:
    person = Person(word)
    decisions, shown = await decided(person, ALWAYS)
    assert decisions["c1"] == {"type": "approve", "always": scope}
    assert "git add ...; make ..." in shown
    assert "t always in this thread  g always in this folder" in person.questions[0]


@pytest.mark.parametrize("word", ["t", "g"])
async def test_without_an_offer_always_is_no_answer(word: str) -> None:
    decisions, shown = await decided(Person(word, "n"), {**BASH, "always": []})
    assert decisions["c1"] == {"type": "reject"}
    assert "always" not in shown
