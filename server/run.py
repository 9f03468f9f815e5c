"""A run of LangGraph's server: its input becomes a new turn, the continuation of one, or an answer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langgraph.types import Command

from ml_intern.configs.errors import UsageError
from ml_intern.safety.secrets.redaction import redact
from ml_intern.server.inputs import users_text

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from ml_intern.session.protocol import GraphHead, GraphRun


@dataclass(frozen=True)
class ServedRun:
    """A run on a locked thread, and the config that the server passed for it."""

    run: "GraphRun"
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
        head = await self.run.head()
        wanted = str(self.config["configurable"].get("checkpoint_id") or "")
        older = "" if wanted == head.checkpoint_id else wanted
        if given is None:
            await self.run.resume()
            return None, self._at(older)
        if isinstance(given, Command):
            await self.run.resume()
            return self._answer(given, head, older), self._at("")
        text = redact(users_text(given))
        if not (self.again and text == head.text):
            await self.run.begin(text, older)
        return None, self._at("")

    def _answer(self, given: Command[Any], head: "GraphHead", older: str) -> Command[Any] | None:
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
        if not head.waiting:
            raise UsageError("this thread has no pending approvals", "send a message to start a turn")
        return given

    def _at(self, checkpoint_id: str) -> "RunnableConfig":
        where = {key: value for key, value in self.config["configurable"].items() if key != "checkpoint_id"}
        if checkpoint_id:
            where["checkpoint_id"] = checkpoint_id
        return {**self.config, "configurable": where, "recursion_limit": self.run.recursion_limit}
