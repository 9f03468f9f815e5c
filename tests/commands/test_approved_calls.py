"""Every tool that asks works when another session answers: a call needs nothing of the session that asked."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ml_intern.configs.memory.facts import facts_in
from ml_intern.configs.memory.file import read_memory
from ml_intern.tools.registry import create_builtin_tools
from tests.commands.conftest import Done, call
from tests.commands.program import Program
from tests.fakes.hub import FakeHub

Args = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A call that asks, the calls before it, other arguments for it, and what each of both leaves behind."""

    tool: str
    args: Args
    edited: Args = field(default_factory=dict[str, Any])
    left: Callable[["Place", str], object] = lambda place, output: None
    """What the call left, from the place and the text of its result."""
    expected: tuple[object, object] = (None, None)
    before: tuple[tuple[str, Args], ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Runs of the command line, each with a session of its own; the fake Hub; and a folder with a file to change."""

    run: Callable[..., Done]
    script: Callable[..., str]
    folder: Path
    hub: FakeHub | None = None

    def text(self, name: str) -> str:
        path = self.folder / name
        return path.read_text().strip() if path.exists() else ""

    def repositories(self) -> list[str]:
        return [repository.id for repository in self.hub.storage.all("models")] if self.hub else []

    def ask(self, case: Case) -> str:
        """Run until the call waits; the thread. Earlier calls that ask are approved."""
        calls = [*case.before, (case.tool, case.args)]
        end = [{"text": "the end"}] * 2  # the end of a run begins another turn
        model = self.script(*({"tool_calls": [call(name, **args)]} for name, args in calls), *end)
        asking = ("-m", model, "--no-sandbox", "--approval-mode", "ask", *case.options)
        done = self.run(*asking, "--output-format", "json", "go")
        assert done.code == 3, done.err
        thread = str(done.json["thread_id"])
        for _ in case.before:
            if self.pending(thread)["args"] != case.args:
                assert self.run("approve", thread, "--all").code == 3
        return thread

    def pending(self, thread: str) -> dict[str, Any]:
        [request] = self.run("approve", thread, "--json").json["requests"]
        return dict(request)

    def answer(self, thread: str, tool: str, *answer: str) -> tuple[bool, str]:
        """Answer and run to the end; whether the call succeeded, and its text."""
        done = self.run("approve", thread, *answer, "--output-format", "stream-json")
        assert done.code == 0, done.err
        outputs = [event["data"] for event in done.events if event["type"] == "tool_output"]
        [(ok, text)] = [(output["ok"], output["text"]) for output in outputs if output["name"] == tool]
        return ok, text


@pytest.fixture
def local(run: Callable[..., Done], script: Callable[..., str], place: Path) -> Place:
    """Sessions in this process."""
    (place / "notes.txt").write_text("one\n")
    return Place(run, script, place)


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Place]:
    """Sessions in processes of their own, with the fake Hub."""
    with FakeHub() as hub:
        program = Program(tmp_path, hub.environment(tmp_path / "hf"))

        def run(*argv: str) -> Done:
            done = program.run(*argv)
            return Done(done.returncode, done.stdout, done.stderr)

        yield Place(run, program.script, program.folder, hub)


@pytest.fixture
def there(case: Case, request: pytest.FixtureRequest) -> Place:
    """The place for a case."""
    place: Place = request.getfixturevalue("remote" if case.tool in ("hub_repos", "sandbox") else "local")
    return place


READ = ("read", {"path": "notes.txt"})
SEARCH = {"metric": "max accuracy", "evaluator": "echo accuracy 1.0", "budget_usd": 1.0}
"""A search that ends at its baseline, whose metric is perfect."""


def text_of(name: str) -> Callable[["Place", str], str]:
    return lambda place, _: place.text(name)


CASES = [
    Case("bash", {"command": "echo 1 > made"}, {"command": "echo 2 > made"}, text_of("made"), ("1", "2")),
    Case(
        "edit",
        {"path": "notes.txt", "old": "one", "new": "two"},
        {"path": "notes.txt", "old": "one", "new": "three"},
        text_of("notes.txt"),
        ("two", "three"),
        before=(READ,),
    ),
    Case(
        "write",
        {"path": "notes.txt", "content": "two"},
        {"path": "notes.txt", "content": "three"},
        text_of("notes.txt"),
        ("two", "three"),
        before=(READ,),
    ),
    Case(
        "hub_repos",
        {"operation": "create", "repo": "ada/one"},
        {"operation": "create", "repo": "ada/two"},
        lambda place, _: place.repositories(),
        (["ada/one"], ["ada/two"]),
    ),
    Case(
        "jobs",
        {"operation": "run", "command": "echo 1 > made"},
        {"operation": "run", "command": "echo 2 > made"},
        text_of("made"),
        ("1", "2"),
    ),
    Case(
        "notebook",
        {"operation": "insert", "path": "made.ipynb", "source": "one = 1"},
        {"operation": "insert", "path": "made.ipynb", "source": "two = 2"},
        lambda place, _: [
            source for cell in json.loads(place.text("made.ipynb"))["cells"] for source in cell["source"]
        ],
        (["one = 1"], ["two = 2"]),
    ),
    Case(
        "remember",
        {"fact": "one is odd", "evidence": "notes.txt"},
        {"fact": "two is even", "evidence": "notes.txt"},
        lambda place, _: [fact.text for fact in facts_in(read_memory(place.folder)).values()],
        (["one is odd"], ["two is even"]),
    ),
    Case(
        "improve",
        {**SEARCH, "task": "one change"},
        {**SEARCH, "task": "another change"},
        lambda place, _: place.run("improve", "status", "--json").json["plan"]["task"],
        ("one change", "another change"),
    ),
    Case(
        "sandbox",
        {"operation": "run", "command": "echo yes"},
        {"operation": "run", "command": "echo other"},
        lambda _, output: "other" in output,
        (False, True),
        before=(("sandbox", {"operation": "create"}),),
    ),
]


def test_every_tool_that_asks_has_a_case() -> None:
    assert {case.tool for case in CASES} == {name for name, spec in create_builtin_tools().items() if spec.asks}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.tool)
def test_an_approved_call_runs_in_another_session(there: Place, case: Case) -> None:
    ok, text = there.answer(there.ask(case), case.tool, "--all")
    assert (ok, case.left(there, text)) == (True, case.expected[0]), text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.tool)
def test_so_does_a_call_with_edited_arguments(there: Place, case: Case) -> None:
    thread = there.ask(case)
    ok, text = there.answer(thread, case.tool, "--id", f"{there.pending(thread)['id']}={json.dumps(case.edited)}")
    assert (ok, case.left(there, text)) == (True, case.expected[1]), text


def test_an_edit_is_approved_in_a_process_of_its_own(tmp_path: Path) -> None:
    program = Program(tmp_path)
    (program.folder / "notes.txt").write_text("one\n")
    edit = call("edit", path="notes.txt", old="one", new="two")
    model = program.script(
        {"tool_calls": [call("read", path="notes.txt")]}, {"tool_calls": [edit]}, {"text": "the end"}
    )
    asked = program.run("-m", model, "--approval-mode", "ask", "--output-format", "json", "go")
    assert asked.returncode == 3, asked.stderr
    done = program.run("approve", json.loads(asked.stdout)["thread_id"], "--all")
    assert (done.returncode, done.stdout) == (0, "the end\n"), done.stderr
    assert (program.folder / "notes.txt").read_text() == "two\n"


def test_added_folders_belong_to_the_pending_approval(local: Place) -> None:
    extra = local.folder.parent / "extra"
    extra.mkdir()
    args = {"path": str(extra / "made"), "content": "yes\n"}
    thread = local.ask(Case("write", args, options=("--add-dir", str(extra))))
    assert local.answer(thread, "write", "--all")[0]
    assert (extra / "made").read_text() == "yes\n"


def test_a_remote_file_written_before_the_approval_can_be_edited_after_it(remote: Place) -> None:
    before = (("write", {"path": "a.txt", "content": "one\n"}),)
    args = {"path": "a.txt", "old": "one", "new": "two"}
    thread = remote.ask(Case("edit", args, before=before, options=("--tool-runtime", "sandbox")))
    assert remote.answer(thread, "edit", "--all")[0]
    assert remote.hub is not None
    assert [job.stage for job in remote.hub.jobs.found.values()] == ["CANCELED"]


@pytest.mark.parametrize("answer", ["{id}=", "{id}=[1]", '{id}={{"command"'])
def test_arguments_that_are_not_a_json_object_answer_nothing(local: Place, answer: str) -> None:
    thread = local.ask(CASES[0])
    done = local.run("approve", thread, "--id", answer.format(id=local.pending(thread)["id"]))
    assert (done.code, "are not a JSON object" in done.err) == (2, True)
    assert local.pending(thread)["name"] == "bash"
