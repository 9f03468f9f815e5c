"""The turns of one thread: begin, close open calls, undo, redo and fork."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import Overwrite, StateSnapshot

from ml_intern.configs.errors import UsageError
from ml_intern.evidence.locks import record_locks
from ml_intern.execution.calls import silent, tool_context
from ml_intern.execution.cut_off import record_cut_off
from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Publish
from ml_intern.graph.operations import UserInput
from ml_intern.graph.state import STEERED, TYPED, AgentState, Outcome, is_user_message, note, open_calls, with_images
from ml_intern.nodes.guards.budget import persistent_counters
from ml_intern.session.mentions import examine_input
from ml_intern.session.turns.points import turn_points
from ml_intern.session.turns.unfinished import UnfinishedCalls, called_args, closing_results

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph

    from ml_intern.store.journal import JournalRow

    AgentApp = CompiledStateGraph[AgentState, RunOptions, AgentState, AgentState]

INPUT = "__start__"
COPY = "__copy__"
LAST_NODE = "execute_tools"
"""Updates are written as this node: its router ends the turn when an outcome is set."""
TITLE = 80
REOPENED = "The turn ended before the task was done. Continue it."


@dataclass(frozen=True)
class TurnInfo:
    """A turn of the current branch: its number, the beginning of its text, and the checkpoint at its end."""

    number: int
    text: str
    end: str
    ended: float | None
    """Time of that checkpoint in seconds since the epoch."""


@dataclass(frozen=True)
class UndoPlan:
    """The turns to undo and the checkpoint to restore; a target of None is the empty thread."""

    head: StateSnapshot
    target: StateSnapshot | None
    turns: int
    number: int
    """The number of the first undone turn."""
    text: str
    """Its message as the user typed it, or the beginning of it after a compaction replaced it."""
    files: tuple[str, ...]
    """The names of the turns' snapshots, oldest first."""


@dataclass(frozen=True)
class Turns:
    """Operations on the turns of an idle thread that this process has locked."""

    app: "AgentApp"
    services: Services
    thread_id: str

    def config(self, checkpoint_id: str = "") -> "RunnableConfig":
        """Return the config of the thread's head or of one of its checkpoints."""
        where = {"thread_id": self.thread_id, **({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}
        return {"configurable": where, "recursion_limit": 1_000_000}

    async def snapshot(self, checkpoint_id: str = "") -> StateSnapshot:
        """Return the state at the head or at one checkpoint."""
        return await self.app.aget_state(self.config(checkpoint_id))

    async def run(self, start: Any, options: RunOptions, publish: Publish) -> StateSnapshot:
        """Run the graph until the turn ends or waits for an approval, and return the state. Events go to `publish`.

        `start` is an input of the graph; None continues where the thread stopped.
        """
        # Without a stream mode, LangGraph runs a step's only node in this task, and not in tasks of its own.
        steps = self.app.astream(start, self.config(), context=options, stream_mode=[], durability="sync")
        with self.services.listeners.added(self.thread_id, publish):
            async for _ in steps:
                pass
        return await self.snapshot()

    async def begin(self, message: UserInput, options: RunOptions, files: str = "") -> int:
        """Write the user's message durably as the input of a new turn and return the turn's number.

        `files` names the snapshot of the current workspace files.
        """
        # Not "interrupted": after a crash at this point the message, which is still in the queue, starts by itself.
        await self.close_open("superseded by the user's next message", status="done")
        typed = message.text if message.typed is None else message.typed
        await record_locks(self.services.store, self.thread_id, typed, options)
        head = await self.snapshot()
        number = int(head.values.get("turn", 0)) + 1
        before = head.config["configurable"].get("checkpoint_id", "") if head.values else ""
        added = await examine_input(self.services.store, message, options)
        await self._write(
            {
                **_fresh(options, self.services),
                "messages": [user_message(message)],
                "rejected": {},
                "recent_calls": Overwrite([]),
                "iteration": 0,
                "guard": persistent_counters(head.values.get("guard")),
                "turn": number,
                "turn_text": message.text[:TITLE],
                "turn_before": before,
                "turn_files": files,
                "taint": _tainted(head, (*message.sources, *added.sources)),
                "file_reads": added.reads,
            },
            INPUT,
        )
        return number

    async def continue_turn(self, options: RunOptions, why: str, **update: Any) -> None:
        """Write an input without a message, such as a requested compaction. It belongs to the previous turn."""
        await self.close_open(why)
        await self._write({**_fresh(options, self.services), **update}, INPUT)

    async def reopen(self, options: RunOptions) -> None:
        """Write an input that continues a turn which ended early. Its iterations start anew."""
        values = (await self.snapshot()).values
        update: dict[str, Any] = {"iteration": 0, "guard": persistent_counters(values.get("guard"))}
        if isinstance((values.get("messages") or [None])[-1], AIMessage):  # a conversation must not end with a reply
            update["messages"] = [note(REOPENED, f"note_{uuid4().hex}")]
        await self.continue_turn(options, "the turn continues", recent_calls=Overwrite([]), **update)

    async def close_open(
        self, why: str, source: str = "", *, status: Literal["interrupted", "done"] = "interrupted"
    ) -> list[str]:
        """Close every open call with a result. Return the names of the interrupted tools.

        `source` is the thread that this one was copied from. Its results are used, and its calls are not ended.
        `status` is that of the turn.
        """
        head = await self.snapshot()
        message, calls = open_calls(head.values.get("messages", []))
        at = (message.id if message else None) or ""
        unfinished = UnfinishedCalls(self.services.store, self.thread_id, self._close_thread)
        cut_off = await unfinished.close_other(at, why)
        if not calls and not head.next and not head.tasks:
            await self._record_cut_off(head.values, cut_off)
            return [row.tool for row in cut_off]
        rows = await self.services.store.journal.of_message(source or self.thread_id, at)
        for row in rows:
            if row.status == "started" and not source:
                cut_off.append(row)
                await unfinished.close(row, why)
        update: dict[str, Any] = {
            "decisions": {},
            "question": None,
            "compaction": None,
            "outcome": Outcome(status=status, text=why, exit_code=130 if status == "interrupted" else 0),
        }
        results = closing_results(head.values, {row.key.index: row for row in rows}, why)
        await self._record_cut_off({**head.values, "taint": results.get("taint", ())}, cut_off)
        await self._write({**update, **results}, LAST_NODE)
        return [row.tool for row in cut_off]

    async def _record_cut_off(self, values: Mapping[str, Any], rows: "Sequence[JournalRow]") -> None:
        """Record the files that these calls changed. What runs and sub-agents changed is recorded by them."""
        state = cast(AgentState, values)
        context = tool_context(state, self.thread_id, self.services.defaults, self.services, silent)
        for row in rows:
            spec = self.services.tools.get(row.tool)
            if spec is not None and row.handle is None:
                await record_cut_off(spec, called_args(values, row.key), context, row.began)

    async def _close_thread(self, thread_id: str, why: str) -> None:
        await replace(self, thread_id=thread_id).close_open(why)

    async def append_note(self, text: str, typed: str = "", id: str = "", sources: Sequence[str] = ()) -> None:
        """Add a note on an action of the user, outside any turn; `typed` is the text the user typed.

        A note replaces an earlier one with the same `id`. `sources` are the sources of untrusted text in it.
        """
        await self._write(
            {
                "messages": [note(text, id or f"note_{uuid4().hex}", typed)],
                "outcome": Outcome(status="done", text="", exit_code=0),
                "taint": _tainted(await self.snapshot(), sources),
            },
            LAST_NODE,
        )

    async def plan_undo(self, count: int) -> UndoPlan:
        """Plan the undo of the last `count` turns, or of all turns if there are fewer.

        Raises:
            UsageError: there is no turn to undo.
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
        return UndoPlan(head, target, len(undone), int(oldest["turn"]), _began_with(oldest), files)

    async def undo(self, plan: UndoPlan) -> None:
        """Undo the turns of the plan. Redo can restore them."""
        await self.add_redo_target(plan.head)
        if plan.target is None:
            await self._write(_emptied(), LAST_NODE)
        else:
            await self._copy(plan.target)

    async def redo_target(self) -> StateSnapshot:
        """Return the state that redo restores.

        Raises:
            UsageError: nothing was undone, or a new message was written since.
        """
        row, head = await self.services.store.threads.get(self.thread_id), await self.snapshot()
        for id in reversed(row.redo if row else ()):
            target = await self.snapshot(id)
            if _is_same(target, head):  # an undo or redo interrupted between the row and the checkpoint
                continue
            if await self._was_undone(target, head):
                return target
            break
        raise UsageError("there is nothing to redo", "redo is only possible before a new message is sent")

    async def redo(self, target: StateSnapshot) -> str:
        """Restore the turns of the last undo. Return the text of the last restored turn."""
        await self._copy(target)
        await self.close_open("not run in this branch")
        row, id = await self.services.store.threads.get(self.thread_id), _id(target)
        if row is not None and id in row.redo:
            await self.services.store.threads.update(self.thread_id, redo=row.redo[: row.redo.index(id)])
        return str(target.values.get("turn_text", ""))

    async def _was_undone(self, target: StateSnapshot, head: StateSnapshot) -> bool:
        """Return whether the head is the unchanged result of an undo from `target`.

        The thread's row cannot decide this: a new message is written before the row's redo targets are cleared.
        """
        if _parent(head) == _id(target):
            return _source(head) == "update"
        while before := target.values.get("turn_before"):
            target = await self.snapshot(before)
            if _is_same(target, head):
                return True
        return False

    async def history(self) -> list[TurnInfo]:
        """Return the turns of the current branch that can be restored, oldest first."""
        points = await turn_points(await self.services.store.saver(), self.thread_id)
        found = [TurnInfo(p.number, p.text, p.checkpoint, p.time or None) for p in points if p.before is not None]
        return found[::-1]

    async def fork(self, turn: int | None) -> str:
        """Copy the conversation up to the end of `turn` into a new thread and return its id. The copy cannot be undone.

        Raises:
            UsageError: there is no such turn.
        """
        source = await self._at_turn(turn)
        row = await self.services.store.threads.get(self.thread_id)
        copy = Turns(self.app, self.services, str(uuid4()))
        values = dict(source.values)
        copied = {**values, "turn_before": None, "decisions": {}, "question": None, "compaction": None}
        copied["messages"] = Overwrite(values.get("messages", []))
        copied["recent_calls"] = Overwrite(values.get("recent_calls", []))
        copied["file_reads"] = Overwrite(values.get("file_reads", {}))
        copied["outcome"] = Outcome(status="done", text="", exit_code=0)
        await copy._write(copied, LAST_NODE)  # before its row, so that a crash leaves no empty thread
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

    async def add_redo_target(self, head: StateSnapshot) -> None:
        """Add this state to the redo targets."""
        row = await self.services.store.threads.get(self.thread_id)
        target = head.config["configurable"]["checkpoint_id"]
        if row is not None:
            await self.services.store.threads.update(self.thread_id, redo=(*row.redo, target))

    async def _copy(self, target: StateSnapshot) -> None:
        await self.app.aupdate_state(target.config, None, as_node=COPY)

    async def _write(self, values: dict[str, Any], node: str) -> None:
        await self.app.aupdate_state(self.config(), cast(Any, values), as_node=node)


def _is_same(one: StateSnapshot, other: StateSnapshot) -> bool:
    """Return whether two checkpoints are the same or one is a copy. A copy has the parent of its original."""
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


def _began_with(values: Mapping[str, Any]) -> str:
    """Return the message that began the turn as the user typed it, or its beginning after a compaction replaced it."""
    begins = str(values.get("turn_text", ""))
    messages = [m for m in values["messages"] if is_user_message(m) and not m.additional_kwargs.get(STEERED)]
    typed = [str(m.additional_kwargs.get(TYPED) or m.text) for m in messages if m.text.startswith(begins)]
    return typed[-1] if begins and typed else begins


def user_message(message: UserInput, *, steered: bool = False) -> HumanMessage:
    """Return a message of the user. `steered`: it is added to a running turn."""
    metadata: dict[str, Any] = {} if message.typed in (None, message.text) else {TYPED: message.typed}
    if steered:
        metadata[STEERED] = True
    return HumanMessage(with_images(message.text, message.images), id=message.id, additional_kwargs=metadata)


def _fresh(options: RunOptions, services: Services) -> dict[str, Any]:
    """Return the fields that every input resets."""
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
        "file_reads": Overwrite({}),
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
        "collection": "",
        "reported_runs": [],
    }
