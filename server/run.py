"""A run of LangGraph's server on a thread. It holds the thread's lock, and new input starts a turn as in a session."""

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
    """A run on a thread whose lock it holds."""

    turns: Turns
    options: RunOptions
    files: Snapshots
    config: "RunnableConfig"

    @property
    def again(self) -> bool:
        """Return whether the server is retrying this run, for example after it was killed."""
        return int(self.config.get("metadata", {}).get("run_attempt", 1)) > 1

    async def begin(self, given: Any) -> "tuple[Any, RunnableConfig]":
        """Start or continue a turn. Return the input for the graph and the config with its checkpoint.

        New input is written to the thread here, as the input of a new turn.

        Raises:
            UsageError: the input is neither a message of the user nor an answer to a pending approval.
        """
        head = await self.turns.snapshot()
        wanted = str(self.config["configurable"].get("checkpoint_id") or "")
        older = "" if wanted == head.config["configurable"].get("checkpoint_id") else wanted
        if given is None:
            await self._resume_snapshot(head)
            return None, self._at(older)
        if isinstance(given, Command):
            await self._resume_snapshot(head)
            return self._answer(given, head, older), self._at("")
        text = redact(users_text(given))
        if not (self.again and text == _latest_text(head)):
            await self._begin_turn(text, older)
        return None, self._at("")

    def _answer(self, given: Command[Any], head: StateSnapshot, older: str) -> Command[Any] | None:
        if given.update is not None or given.goto:
            raise UsageError(
                "the input of a run must be a message or an answer",
                "to change the state, use the thread's state endpoint",
            )
        if self.again:
            return None
        if older:
            raise UsageError(
                "this approval was already answered", "run from that checkpoint without an answer to be asked again"
            )
        if not head.interrupts:
            raise UsageError("this thread has no pending approvals", "send a message to start a turn")
        return given

    async def _begin_turn(self, text: str, older: str) -> None:
        if older:
            await self.turns.app.aupdate_state(self.turns.config(older), None, as_node=COPY)
        row = ThreadListing(self.turns, self.options.workspace)
        await row.begin_turn(UserInput(text), self.options, self.files.begin(self.turns.thread_id))
        await self.files.settled()

    async def _resume_snapshot(self, head: StateSnapshot) -> None:
        """Take the snapshot of the continued turn, if its process died before taking it."""
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
    """Hold the lock of the thread in `config` for one run. Close the open calls of an interrupted run before release.

    Raises:
        ThreadLocked: another process or run is using the thread.
        ModelUnknown, KeyMissing: its model cannot be called.
        UsageError: `choices` are not StudioChoices.
    """
    services = runner.services
    turns = runner.turns(str(config["configurable"]["thread_id"]))
    async with services.store.hold(turns.thread_id):
        options = await _options(turns, services, choices)
        services.models.route(options.model)
        await _wait_for_mcp_servers(services)
        if (
            turns.thread_id not in services.scopes
        ):  # stays open until the server ends, because an approval splits a turn into several runs
            runner.open_scope(turns.thread_id)
        files = await asyncio.to_thread(
            Snapshots, services.store.home, Path(options.workspace), _ignore_snapshot_failure
        )
        await ThreadListing(turns, options.workspace).change(state="running")
        try:
            yield ServedRun(turns, options, files, config)
        except (asyncio.CancelledError, GeneratorExit):
            await turns.close_open("interrupted by the user")
            raise
        finally:
            await files.close()
            await _ended(turns, options)


async def _wait_for_mcp_servers(services: Services) -> None:
    """Wait until the MCP servers have started, and log the problems of those that failed."""
    if services.servers is not None and await services.servers.settled():
        for problem in services.servers.problems():
            _LOG.warning(problem)


async def _ended(turns: Turns, options: RunOptions) -> None:
    snapshot = await turns.snapshot()
    state = "interrupted" if is_pending(snapshot) else STATES.get(turn_end(snapshot).status, "idle")
    await ThreadListing(turns, options.workspace).renew(state)


async def _options(turns: Turns, services: Services, choices: Any) -> RunOptions:
    """Merge the run's choices into the server's options. The folder is the thread's own if it still exists."""
    options = replace(services.defaults, **given_choices(choices))
    row = await services.store.threads.get(turns.thread_id)
    if row is not None and row.folder and await asyncio.to_thread(Path(row.folder).is_dir):
        return replace(options, workspace=row.folder)
    if row is not None and not row.folder:
        await services.store.threads.update(turns.thread_id, folder=options.workspace)
    return options


def _ignore_snapshot_failure(message: str, remedy: str) -> None:
    """Ignore a failed snapshot here: the undo that needs it reports the reason from the snapshot's record."""


def _latest_text(head: StateSnapshot) -> str:
    messages = head.values.get("messages", [])
    return next((message.text for message in reversed(messages) if is_user_message(message)), "")
