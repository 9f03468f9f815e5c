"""A run of LangGraph's server on a thread: it holds the thread's lock, and new input becomes a turn as in a session."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from langchain_core.messages import convert_to_messages
from langgraph.types import Command, StateSnapshot
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from configs.errors import UsageError
from graph.context import ApprovalMode, RunOptions, Services
from graph.runner import Runner, is_pending
from graph.state import is_users
from graph.turns import COPY, Turns
from safety.redaction import admit

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage
    from langchain_core.runnables import RunnableConfig

    from store.threads import ThreadState

TITLE_LENGTH = 60


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class StudioChoices:
    """What a run may be given in Studio: a context, all of it optional."""

    model: str | None = None
    approval_mode: ApprovalMode | None = None
    max_iterations: int | None = None
    max_budget_usd: float | None = None
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None


@dataclass(frozen=True)
class ServedRun:
    """A run on a thread that it holds."""

    turns: Turns
    options: RunOptions
    config: "RunnableConfig"

    @property
    def checkpoint_id(self) -> str:
        """The checkpoint the run was asked to start at; empty for the head."""
        return str(self.config["configurable"].get("checkpoint_id") or "")

    @property
    def again(self) -> bool:
        """Whether the server tries this run once more, say after it was killed."""
        return int(self.config.get("metadata", {}).get("run_attempt", 1)) > 1

    async def begin(self, given: Any) -> "tuple[Any, RunnableConfig]":
        """What to hand to the graph, and at which checkpoint: new input is written here, as the input of a new turn.

        Raises:
            UsageError: the input is no message of the user and no answer to what waits.
        """
        head = await self.turns.snapshot()
        here = "" if self.checkpoint_id == head_id(head) else self.checkpoint_id
        if given is None:
            return None, self._at(here)
        if isinstance(given, Command):
            return self._answer(given, head, here), self._at("")
        text = admit(users_text(given))
        if not (self.again and text == _newest_words(head)):
            await self._begin_turn(text, here)
        return None, self._at("")

    def _answer(self, given: Command[Any], head: StateSnapshot, here: str) -> Command[Any] | None:
        if given.update is not None or given.goto:
            raise UsageError("a run takes a message or an answer", "change the state of the thread instead")
        if self.again:
            return None
        if here:
            raise UsageError("this was answered already", "run from that checkpoint without an answer: it asks again")
        if not head.interrupts:
            raise UsageError("nothing waits for an approval in this thread", "it was answered, or the turn has ended")
        return given

    async def _begin_turn(self, text: str, here: str) -> None:
        turns, threads = self.turns, self.turns.services.store.threads
        if here:
            await turns.app.aupdate_state(turns.config(here), None, as_node=COPY)
        number = await turns.begin(text, self.options)
        row = await threads.adopt(turns.thread_id)
        title = row.title or " ".join(text.split())[:TITLE_LENGTH]
        await threads.update(turns.thread_id, title=title, turns=number, redo=())

    def _at(self, checkpoint_id: str) -> "RunnableConfig":
        where = {key: value for key, value in self.config["configurable"].items() if key != "checkpoint_id"}
        if checkpoint_id:
            where["checkpoint_id"] = checkpoint_id
        return {**self.config, "configurable": where, "recursion_limit": self.turns.config()["recursion_limit"]}


@asynccontextmanager
async def served_run(runner: Runner, config: "RunnableConfig", choices: Any) -> AsyncIterator[ServedRun]:
    """Hold the thread of `config` for one run; what was cut off in it by the user is closed before it is let go.

    Raises:
        ThreadLocked: another process or run holds the thread.
        UsageError: `choices` are not StudioChoices.
    """
    services = runner.services
    thread_id = str(config["configurable"]["thread_id"])
    turns = Turns(runner.app, services, thread_id)
    async with services.store.hold(thread_id):
        options = await _options(services, thread_id, choices)
        await services.store.threads.update(thread_id, state="running")
        try:
            yield ServedRun(turns, options, config)
        except (asyncio.CancelledError, GeneratorExit):
            await turns.close_open("interrupted by the user")
            raise
        finally:
            await _ended(turns)


async def _ended(turns: Turns) -> None:
    store, snapshot = turns.services.store, await turns.snapshot()
    cost = (await store.ledger.total(turns.thread_id)).cost_usd
    state: ThreadState = "waiting" if snapshot.interrupts else "interrupted" if is_pending(snapshot) else "idle"
    await store.threads.update(turns.thread_id, state=state, cost_usd=cost)


async def _options(services: Services, thread_id: str, choices: Any) -> RunOptions:
    """The server's options, changed by the run's choices; the folder is the thread's own while it exists."""
    chosen = given_choices(choices)
    row = await services.store.threads.adopt(thread_id, folder=services.defaults.workspace)
    there = bool(row.folder) and await asyncio.to_thread(Path(row.folder).is_dir)
    return replace(services.defaults, workspace=row.folder if there else services.defaults.workspace, **chosen)


def given_choices(choices: Any) -> Mapping[str, Any]:
    """The choices that were made, from a context as Studio sends it. Raises UsageError."""
    try:
        chosen = TypeAdapter(StudioChoices).validate_python(choices or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"the run's context: {name}: {first['msg']}", "leave it out for the default") from error
    return {name: value for name, value in vars(chosen).items() if value is not None}


def users_text(given: Any) -> str:
    """The user's words in an input such as {"messages": [{"role": "user", "content": "..."}]}. Raises UsageError."""
    wanted = UsageError(
        "a run's input is the user's message", 'send {"messages": [{"role": "user", "content": "..."}]}'
    )
    if not isinstance(given, Mapping) or any(value for key, value in given.items() if key != "messages"):
        raise wanted
    said = given.get("messages") or []
    try:
        messages = cast("list[AnyMessage]", convert_to_messages(said if isinstance(said, list) else [said]))
    except (ValueError, NotImplementedError) as error:
        raise wanted from error
    if not messages or any(not is_users(message) or not _is_text(message.content) for message in messages):
        raise wanted
    return "\n\n".join(message.text for message in messages)


def _is_text(content: str | list[str | dict[str, Any]]) -> bool:
    blocks = [] if isinstance(content, str) else content
    return all(isinstance(block, str) or block.get("type") == "text" for block in blocks)


def head_id(head: StateSnapshot) -> str:
    """The id of a state's checkpoint; empty for an empty thread."""
    return str(head.config["configurable"].get("checkpoint_id", ""))


def _newest_words(head: StateSnapshot) -> str:
    messages = head.values.get("messages", [])
    return next((message.text for message in reversed(messages) if is_users(message)), "")
