"""The notify tool: sends a message from the agent to a destination whose settings allow it."""

from pydantic import Field

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolArgs, ToolContext, tool


class NotifyArgs(ToolArgs):
    """The arguments of notify."""

    message: str = Field(min_length=1, max_length=2_500, description="The message, in plain text.")
    destination: str = Field("", description="Name of the destination; optional when there is only one.")


@tool(asks=False, path_args=(), timeout=90.0)
async def notify(args: NotifyArgs, context: ToolContext) -> str:
    """Send a short message to the user through a channel that they set up for it.

    Use it when something they are waiting for happened and they may not be watching: a long run ended, a result is
    better or worse than expected, or they must decide. Approval requests and the end of a turn are sent automatically.
    """
    notifier = context.services.notifier
    places = notifier.places() if notifier is not None else []
    if notifier is None or not places:
        raise ToolError("no message destination that the agent may use is set up; report it in your answer instead")
    place = args.destination or places[0]
    if place not in places or (not args.destination and len(places) > 1):
        raise ToolError(f"set destination to one of: {', '.join(places)}")
    if problem := await notifier.send(place, f"ml-intern, thread {context.thread_id[:8]}\n{args.message}"):
        raise ToolError(f"the message could not be sent to {place}: {problem}")
    return f"sent to {place}"
