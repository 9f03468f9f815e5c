"""The eight things a user does while faults happen, and a long thread: scripts, actions, and what must come of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ml_intern.graph.operations import Fork, Operation, Redo, Undo, UserInput
from tests.faults.lab import FaultLab

Step = dict[str, Any]
Effect = Callable[[str], Step]
Answers = Literal["yes", "either", "edit", "none"]
"""How approvals are answered: yes, by a throw of the dice, with another call, or not at all."""


@dataclass(frozen=True)
class Action:
    """One thing the user does, and the messages of the user that the conversation holds then."""

    operation: Operation
    after: tuple[str, ...]
    answers: Answers = "yes"
    refused: bool = False
    """It must be refused, since there is nothing to do."""


@dataclass(frozen=True)
class Scenario:
    """A user's actions on one thread, and the script the model follows."""

    name: str
    steps: Sequence[Step]
    actions: Sequence[Action]
    choices: Mapping[str, Any] = field(default_factory=dict[str, Any])
    child_steps: Sequence[Step] = ()
    files: Mapping[str, str] = field(default_factory=dict[str, str])

    def lab(self, root: Path, seed: str = "", url: str = "") -> FaultLab:
        """A lab in a new folder, ready for the scenario."""
        return FaultLab(root, seed, url).prepare(self.files, self.scripts())

    def scripts(self) -> dict[str, Sequence[Step]]:
        """The scripts by name."""
        return {"main": self.steps, "child": self.child_steps} if self.child_steps else {"main": self.steps}


USAGE = {"input_tokens": 10, "output_tokens": 1, "cost_usd": 0.25}


def says(text: str, *calls: Step) -> Step:
    """A reply of the model."""
    return {"text": text, "tool_calls": list(calls), "usage": USAGE}


def talk(*texts: str, answers: Answers = "yes") -> list[Action]:
    """Messages one after the other."""
    return [Action(UserInput(text), texts[: place + 1], answers) for place, text in enumerate(texts)]


def read(path: str) -> Step:
    """A call that only reads."""
    return {"name": "read", "args": {"path": path}}


def plain(effect: Effect) -> Scenario:
    """Two turns with a call each."""
    steps = [says("first", effect("a")), says("A"), says("second", effect("b")), says("B")]
    return Scenario("plain", steps, talk("one", "two"))


def parallel(effect: Effect) -> Scenario:
    """Reads side by side, with effects between them, in one reply."""
    calls = [read("x"), read("y"), effect("a"), effect("b"), read("z"), read("x"), effect("c")]
    files = {"x": "the text of x\n", "y": "the text of y\n", "z": "the text of z\n"}
    return Scenario("parallel", [says("all of it", *calls), says("A"), says("B")], talk("one", "two"), files=files)


def approval(effect: Effect) -> Scenario:
    """A batch answered call by call, a question answered by the next message, and one more."""
    steps = [
        says("may I", effect("a"), effect("b")),
        says("and", effect("c")),
        says("A"),
        says("never", effect("d")),
        says("instead", effect("e")),
        says("C"),
    ]
    actions = [*talk("one", answers="either"), Action(UserInput("two"), ("one", "two"), "none")]
    actions.append(Action(UserInput("three"), ("one", "two", "three"), "either"))
    return Scenario("approval", steps, actions, {"approval_mode": "ask"})


def edited(effect: Effect) -> Scenario:
    """Approvals with other arguments than the model's."""
    steps = [says("may I", effect("a"), effect("b")), says("A"), says("again", effect("c")), says("B")]
    return Scenario("edited", steps, talk("one", "two", answers="edit"), {"approval_mode": "ask"})


def compaction(effect: Effect) -> Scenario:
    """A long turn that is compacted on its way."""
    files = {name: f"{name} holds {number}\n" * 90 for number, name in enumerate("pqrstu")}
    steps: list[Step] = []
    for name in files:
        steps.append(says(f"reading {name}", read(name), effect(name)))
    steps += [says("A"), says("B", effect("last")), says("C"), {"summary": "Notes: files were read."}]
    # Without the provider's count of tokens the conversation's own size decides.
    counted = [{key: value for key, value in step.items() if key != "usage"} for step in steps]
    # Half of a step above the fifth: a result that says "may have run in part" must not move the compaction.
    options = {"compact_threshold": 3_800, "tool_names": ("read", "mark", "bash")}
    return Scenario("compaction", counted, talk("one", "two"), options, files=files)


def child(effect: Effect) -> Scenario:
    """A sub-agent with effects of its own."""
    ask = {"name": "ask", "args": {"question": "what is there?"}}
    steps = [says("asking", ask), says("A", effect("mine")), says("B"), says("asking", ask, effect("d")), says("C")]
    child_steps = [says("looking", effect("a"), effect("b")), says("more", effect("c")), says("The sub-agent's report")]
    return Scenario("child", steps, talk("one", "two"), {"approval_mode": "yolo"}, child_steps)


def long_output(effect: Effect) -> Scenario:
    """Results that go to artifact files."""
    big = {"name": "bash", "args": {"command": "seq 1 40000"}}
    steps = [says("counting", big, effect("a")), says("A"), says("again", effect("b"), big), says("B")]
    return Scenario("long_output", steps, talk("one", "two"))


def undo(effect: Effect) -> Scenario:
    """Undo, redo, another way, a fork, and a turn in it."""
    steps = [says("first", effect("a")), says("A"), says("second", effect("b")), says("B")]
    steps += [says("third", effect("c")), says("C")]
    actions = [
        *talk("one", "two"),
        Action(Undo(), ("one",)),
        Action(Redo(), ("one", "two")),
        Action(Redo(), ("one", "two"), refused=True),
        Action(Undo(), ("one",)),
        Action(Undo(), ()),
        Action(Redo(), ("one",)),
        Action(UserInput("other"), ("one", "other")),
        Action(Redo(), ("one", "other"), refused=True),
        Action(Fork(), ("one", "other")),
        Action(UserInput("in the fork"), ("one", "other", "in the fork")),
        Action(Undo(), ("one", "other")),
    ]
    return Scenario("undo", steps, actions)


def long_thread(effect: Effect) -> Scenario:
    """More than forty commits: turns with calls, an approval, a sub-agent, undo and redo."""
    steps = [
        says("first", effect("a"), read("x"), effect("b")),
        says("A"),
        says("second", {"name": "ask", "args": {"question": "what?"}}),
        says("third", effect("c")),
        says("B"),
    ]
    actions = [
        *talk("one", "two"),
        Action(Undo(), ("one",)),
        Action(Redo(), ("one", "two")),
    ]
    child_steps = [says("looking", effect("d")), says("The sub-agent's report")]
    return Scenario("long_thread", steps, actions, {"approval_mode": "yolo"}, child_steps, {"x": "the text of x\n"})


def short(effect: Effect) -> Scenario:
    """One turn with an approved call: few enough statements to let each of them fail."""
    steps = [says("may I", effect("a")), says("A"), says("B")]
    return Scenario("short", steps, talk("one"), {"approval_mode": "ask"})


def superseded(effect: Effect) -> Scenario:
    """A question that the user answers by writing the next message."""
    steps = [says("may I", effect("a")), says("A")]
    actions = [Action(UserInput("one"), ("one",), "none"), Action(UserInput("two"), ("one", "two"))]
    return Scenario("superseded", steps, actions, {"approval_mode": "ask"})


SCENARIOS: tuple[Callable[[Effect], Scenario], ...] = (
    plain,
    parallel,
    approval,
    edited,
    compaction,
    child,
    long_output,
    undo,
)
