"""The turns of one thread: begin one, close what is open, settle, undo, redo, fork."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from langchain_core.messages import HumanMessage
from langgraph.types import Overwrite, StateSnapshot

from ml_intern.configs.errors import UsageError
from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import UserInput
from ml_intern.graph.state import TYPED, AgentState, Outcome, open_calls, with_images
from ml_intern.session.turns.points import turn_points
from ml_intern.session.turns.unfinished import UnfinishedCalls, closing_results

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph

    AgentApp = CompiledStateGraph[AgentState, RunOptions, AgentState, AgentState]

INPUT = "__start__"
COPY = "__copy__"
LAST_NODE = "execute_tools"
"""Updates are written as this node: its router ends the turn when an outcome is set."""
TITLE = 80
LASTING = ("raised", "warned")
"""What the guard remembers over turns: how often the budget was raised, and the share it warned at."""


@dataclass(frozen=True)
class TurnInfo:
    """A turn of the current branch: its number, the beginning of its text, and the checkpoint at its end."""

    number: int
    text: str
    end: str
    ended: float | None
    """When that checkpoint was written, seconds since the epoch."""


@dataclass(frozen=True)
class UndoPlan:
    """The newest turns of a thread, which undo takes back, and what it goes back to; None is the empty thread."""

    head: StateSnapshot
    target: StateSnapshot | None
    turns: int
    number: int
    """The number of the oldest of the turns."""
    text: str
    """The beginning of its message."""
    files: tuple[str, ...]
    """The names of the turns' snapshots, oldest first."""


@dataclass(frozen=True)
class Turns:
    """The operations on the turns of a thread that is held by this process and not running."""

    app: "AgentApp"
    services: Services
    thread_id: str

    def config(self, checkpoint_id: str = "") -> "RunnableConfig":
        """The config of the thread's head, or of one of its checkpoints."""
        where = {"thread_id": self.thread_id, **({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}
        return {"configurable": where, "recursion_limit": 1_000_000}

    async def snapshot(self, checkpoint_id: str = "") -> StateSnapshot:
        """The state at the head, or at one checkpoint."""
        return await self.app.aget_state(self.config(checkpoint_id))

    async def begin(self, message: UserInput, options: RunOptions, files: str = "") -> int:
        """Write the user's message durably as the input of a new turn and return the turn's number.

        `files` names the snapshot of the workspace's files as they are now.
        """
        await self.close_open("superseded by the user's next message")
        head = await self.snapshot()
        number = int(head.values.get("turn", 0)) + 1
        before = head.config["configurable"].get("checkpoint_id", "") if head.values else ""
        await self._write(
            {
                **_fresh(options, self.services),
                "messages": [_users_message(message.text, message.typed, images=message.images)],
                "rejected": {},
                "iteration": 0,
                "guard": {kind: count for kind, count in (head.values.get("guard") or {}).items() if kind in LASTING},
                "turn": number,
                "turn_text": message.text[:TITLE],
                "turn_before": before,
                "turn_files": files,
                "taint": _tainted(head, message.sources),
            },
            INPUT,
        )
        return number

    async def go_on(self, options: RunOptions, why: str, **wish: Any) -> None:
        """Write an input without a message, as a wish to compact; it belongs to the turn before it."""
        await self.close_open(why)
        await self._write({**_fresh(options, self.services), **wish}, INPUT)

    async def close_open(self, why: str, source: str = "") -> list[str]:
        """Give every open call its result and leave nothing pending; the names of the calls that were cut off.

        `source` is the thread this one was copied from: what ran there is told here, and left alone.
        """
        head = await self.snapshot()
        message, calls = open_calls(head.values.get("messages", []))
        at = (message.id if message else None) or ""
        unfinished = UnfinishedCalls(self.services.store, self.thread_id, self._close_thread)
        cut_off = await unfinished.close_other(at, why)
        if not calls and not head.next and not head.tasks:
            return cut_off
        rows = await self.services.store.journal.of_message(source or self.thread_id, at)
        for row in rows:
            if row.status == "started" and not source:
                cut_off.append(row.tool)
                await unfinished.close(row, why)
        update: dict[str, Any] = {
            "decisions": {},
            "question": None,
            "compaction": None,
            "outcome": Outcome(status="interrupted", text=why, exit_code=130),
        }
        results = closing_results(head.values, {row.key.index: row for row in rows}, why)
        await self._write({**update, **results}, LAST_NODE)
        return cut_off

    async def _close_thread(self, thread_id: str, why: str) -> None:
        await replace(self, thread_id=thread_id).close_open(why)

    async def append_note(self, text: str, typed: str = "", id: str = "", sources: Sequence[str] = ()) -> None:
        """Add what the user did by hand to the conversation, outside any turn; `typed` is what was typed for it.

        It takes the place of an earlier note with the same `id`. `sources` says where outside text in it came from.
        """
        await self._write(
            {
                "messages": [_users_message(text, typed, id)],
                "outcome": Outcome(status="done", text="", exit_code=0),
                "taint": _tainted(await self.snapshot(), sources),
            },
            LAST_NODE,
        )

    async def plan_undo(self, count: int) -> UndoPlan:
        """The last `count` turns, or as many as there are.

        Raises:
            UsageError: there is no turn to take back.
        """
        head = await self.snapshot()
        target: StateSnapshot | None = head
        undone: list[StateSnapshot] = []
        while target is not None and len(undone) < count and target.values.get("turn_before") is not None:
            undone.append(target)
            before = str(target.values["turn_before"])
            target = await self.snapshot(before) if before else None
        if not undone:
            raise UsageError("there is nothing to undo", "the thread has no turn before this point")
        oldest = undone[-1].values
        files = tuple(str(turn.values.get("turn_files", "")) for turn in reversed(undone))
        return UndoPlan(head, target, len(undone), int(oldest["turn"]), str(oldest.get("turn_text", "")), files)

    async def undo(self, plan: UndoPlan) -> None:
        """Take the turns of the plan back; redo can bring them again."""
        await self.remember_tip(plan.head)
        if plan.target is None:
            await self._write(_emptied(), LAST_NODE)
        else:
            await self._copy(plan.target)

    async def tip(self) -> StateSnapshot:
        """What redo brings back.

        Raises:
            UsageError: nothing was undone, or a new message was written since.
        """
        row, head = await self.services.store.threads.get(self.thread_id), await self.snapshot()
        for id in reversed(row.redo if row else ()):
            tip = await self.snapshot(id)
            if _is_same(tip, head):  # what was cut off between the row and the checkpoint
                continue
            if await self._was_undone(tip, head):
                return tip
            break
        raise UsageError("there is nothing to redo", "only an undo with no message after it can be redone")

    async def redo(self, tip: StateSnapshot) -> str:
        """Bring back what the last undo took; the text of the turn that is the newest again."""
        await self._copy(tip)
        await self.close_open("not run in this branch")
        row, id = await self.services.store.threads.get(self.thread_id), _id(tip)
        if row is not None and id in row.redo:
            await self.services.store.threads.update(self.thread_id, redo=row.redo[: row.redo.index(id)])
        return str(tip.values.get("turn_text", ""))

    async def _was_undone(self, tip: StateSnapshot, head: StateSnapshot) -> bool:
        """Whether the head is what an undo of the turns before `tip` left, and nothing was written since.

        The thread's row does not tell: a new message is in the checkpoints before the row forgets the tips.
        """
        if _parent(head) == _id(tip):
            return _source(head) == "update"
        while before := tip.values.get("turn_before"):
            tip = await self.snapshot(before)
            if _is_same(tip, head):
                return True
        return False

    async def history(self) -> list[TurnInfo]:
        """The turns of the current branch that can be gone back to, oldest first."""
        points = await turn_points(await self.services.store.saver(), self.thread_id)
        found = [TurnInfo(p.number, p.text, p.checkpoint, p.time or None) for p in points if p.before is not None]
        return found[::-1]

    async def fork(self, turn: int | None) -> str:
        """A new thread with the conversation up to the end of `turn`; undo stops at its beginning. Its id.

        Raises:
            UsageError: there is no such turn.
        """
        source = await self._at_turn(turn)
        row = await self.services.store.threads.get(self.thread_id)
        copy = Turns(self.app, self.services, str(uuid4()))
        values = dict(source.values)
        kept = {**values, "turn_before": None, "decisions": {}, "question": None, "compaction": None}
        kept["messages"] = Overwrite(values.get("messages", []))
        kept["recent_calls"] = Overwrite(values.get("recent_calls", []))
        kept["outcome"] = Outcome(status="done", text="", exit_code=0)
        await copy._write(kept, LAST_NODE)  # before its row: a crash between them must leave no thread that is empty
        turns = int(values.get("turn", 0))
        await self.services.store.threads.create(
            id=copy.thread_id,
            title=f"{row.title} (fork)" if row else "fork",
            folder=row.folder if row else "",
            parent=self.thread_id,
            forked_at=turns,
            turns=turns,
        )
        await copy.close_open("not run in this branch", source=self.thread_id)
        return copy.thread_id

    async def _at_turn(self, turn: int | None) -> StateSnapshot:
        if turn is None:
            return await self.snapshot()
        for known in await self.history():
            if known.number == turn:
                return await self.snapshot(known.end)
        raise UsageError(f"there is no turn {turn} in this thread", "`ml-intern threads show` lists its turns")

    async def remember_tip(self, head: StateSnapshot) -> None:
        """Let redo bring back this state."""
        row = await self.services.store.threads.get(self.thread_id)
        tip = head.config["configurable"]["checkpoint_id"]
        if row is not None:
            await self.services.store.threads.update(self.thread_id, redo=(*row.redo, tip))

    async def _copy(self, target: StateSnapshot) -> None:
        await self.app.aupdate_state(target.config, None, as_node=COPY)

    async def _write(self, values: dict[str, Any], node: str) -> None:
        await self.app.aupdate_state(self.config(), cast(Any, values), as_node=node)


def _is_same(one: StateSnapshot, other: StateSnapshot) -> bool:
    """Whether two checkpoints are the same, or one is a copy: LangGraph gives it the original's parent."""
    if _id(one) == _id(other):
        return True
    return _parent(one) == _parent(other) != "" and "fork" in (_source(one), _source(other))


def _id(snapshot: StateSnapshot) -> str:
    return str(snapshot.config["configurable"].get("checkpoint_id", ""))


def _parent(snapshot: StateSnapshot) -> str:
    return str(snapshot.parent_config["configurable"]["checkpoint_id"]) if snapshot.parent_config else ""


def _source(snapshot: StateSnapshot) -> str:
    return str((snapshot.metadata or {}).get("source", ""))


def _tainted(head: StateSnapshot, sources: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*(head.values.get("taint") or ()), *sources]))


def _users_message(text: str, typed: str | None, id: str = "", images: tuple[str, ...] = ()) -> HumanMessage:
    kept = {} if typed is None or typed == text else {TYPED: typed}
    return HumanMessage(with_images(text, images), id=id or f"user_{uuid4().hex}", additional_kwargs=kept)


def _fresh(options: RunOptions, services: Services) -> dict[str, Any]:
    """What every input sets anew."""
    return {
        "outcome": None,
        "question": None,
        "decisions": {},
        "day": date.today().isoformat(),
        "context_limit": services.context_limit(options),
    }


def _emptied() -> dict[str, Any]:
    return {
        "messages": Overwrite([]),
        "recent_calls": Overwrite([]),
        "plan": [],
        "decisions": {},
        "rejected": {},
        "iteration": 0,
        "replies": 0,
        "turn": 0,
        "turn_text": "",
        "turn_before": None,
        "turn_files": "",
        "question": None,
        "guard": {},
        "outcome": Outcome(status="done", text="", exit_code=0),
        "compaction": None,
        "context_tokens": 0,
        "taint": [],
        "reported_runs": [],
    }
