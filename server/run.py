"""A run of LangGraph's server on a thread: it holds the thread's lock, and new input becomes a turn as in a session."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.types import Command, StateSnapshot

from ml_intern.configs.errors import UsageError
from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.operations import UserInput
from ml_intern.graph.state import is_user_message
from ml_intern.safety.secrets.redaction import redact
from ml_intern.server.inputs import given_choices, users_text
from ml_intern.session.listing import STATES, ThreadListing
from ml_intern.session.runner import Runner, is_pending, turn_end
from ml_intern.session.turns.turns import COPY, Turns
from ml_intern.snapshots.workspace import Snapshots

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServedRun:
    """A run on a thread that it holds."""

    turns: Turns
    options: RunOptions
    files: Snapshots
    config: "RunnableConfig"

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
        wanted = str(self.config["configurable"].get("checkpoint_id") or "")
        older = "" if wanted == head.config["configurable"].get("checkpoint_id") else wanted
        if given is None:
            await self._keep_files(head)
            return None, self._at(older)
        if isinstance(given, Command):
            await self._keep_files(head)
            return self._answer(given, head, older), self._at("")
        text = redact(users_text(given))
        if not (self.again and text == _newest_words(head)):
            await self._begin_turn(text, older)
        return None, self._at("")

    def _answer(self, given: Command[Any], head: StateSnapshot, older: str) -> Command[Any] | None:
        if given.update is not None or given.goto:
            raise UsageError("a run takes a message or an answer", "change the state of the thread instead")
        if self.again:
            return None
        if older:
            raise UsageError("this was answered already", "run from that checkpoint without an answer: it asks again")
        if not head.interrupts:
            raise UsageError("nothing waits for an approval in this thread", "it was answered, or the turn has ended")
        return given

    async def _begin_turn(self, text: str, older: str) -> None:
        if older:
            await self.turns.app.aupdate_state(self.turns.config(older), None, as_node=COPY)
        row = ThreadListing(self.turns, self.options.workspace)
        await row.begin_turn(UserInput(text), self.options, self.files.begin(self.turns.thread_id))
        await self.files.settled()

    async def _keep_files(self, head: StateSnapshot) -> None:
        """Take the snapshot of the turn that goes on, if its process died before it was taken."""
        if head.values.get("iteration", 0) <= 1:  # no tool ran yet
            self.files.resume(head.values.get("turn_files", ""), self.turns.thread_id)
            await self.files.settled()

    def _at(self, checkpoint_id: str) -> "RunnableConfig":
        where = {key: value for key, value in self.config["configurable"].items() if key != "checkpoint_id"}
        if checkpoint_id:
            where["checkpoint_id"] = checkpoint_id
        return {**self.config, "configurable": where, "recursion_limit": self.turns.config()["recursion_limit"]}


@asynccontextmanager
async def served_run(runner: Runner, config: "RunnableConfig", choices: Any) -> AsyncIterator[ServedRun]:
    """Hold the thread of `config` for one run; what the user cuts off in it is closed before the thread is let go.

    Raises:
        ThreadLocked: another process or run holds the thread.
        ModelUnknown, KeyMissing: its model cannot be called.
        UsageError: `choices` are not StudioChoices.
    """
    services = runner.services
    turns = runner.turns(str(config["configurable"]["thread_id"]))
    async with services.store.hold(turns.thread_id):
        options = await _options(turns, services, choices)
        services.models.route(options.model)
        await _tools_are_there(services)
        if turns.thread_id not in services.scopes:  # open until the server ends: an approval splits a turn into runs
            runner.open_scope(turns.thread_id)
        files = await asyncio.to_thread(Snapshots, services.store.home, Path(options.workspace), _kept_for_undo)
        await ThreadListing(turns, options.workspace).change(state="running")
        try:
            yield ServedRun(turns, options, files, config)
        except (asyncio.CancelledError, GeneratorExit):
            await turns.close_open("interrupted by the user")
            raise
        finally:
            await files.close()
            await _ended(turns, options)


async def _tools_are_there(services: Services) -> None:
    """Wait for the MCP servers; the log says which of them are not there."""
    if services.servers is not None and await services.servers.settled():
        for problem in services.servers.problems():
            _LOG.warning(problem)


async def _ended(turns: Turns, options: RunOptions) -> None:
    snapshot = await turns.snapshot()
    state = "interrupted" if is_pending(snapshot) else STATES.get(turn_end(snapshot).status, "idle")
    await ThreadListing(turns, options.workspace).renew(state)


async def _options(turns: Turns, services: Services, choices: Any) -> RunOptions:
    """The server's options, changed by the run's choices; the folder is the thread's own while it exists."""
    options = replace(services.defaults, **given_choices(choices))
    row = await services.store.threads.get(turns.thread_id)
    if row is not None and row.folder and await asyncio.to_thread(Path(row.folder).is_dir):
        return replace(options, workspace=row.folder)
    if row is not None and not row.folder:
        await services.store.threads.update(turns.thread_id, folder=options.workspace)
    return options


def _kept_for_undo(message: str, remedy: str) -> None:
    """A snapshot that failed is told of by the undo that misses it: its record says why."""


def _newest_words(head: StateSnapshot) -> str:
    messages = head.values.get("messages", [])
    return next((message.text for message in reversed(messages) if is_user_message(message)), "")
