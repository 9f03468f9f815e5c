"""The notify tool: a message of the agent to a destination whose settings allow it."""

from pydantic import Field

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolArgs, ToolContext, tool


class NotifyArgs(ToolArgs):
    """What notify takes."""

    message: str = Field(min_length=1, max_length=2_500, description="What to tell, in plain text.")
    destination: str = Field("", description="Where to, by its name; may be left out when there is one only.")


@tool(asks=False, path_args=(), timeout=90.0)
async def notify(args: NotifyArgs, context: ToolContext) -> str:
    """Send a short message to the user, elsewhere: to a channel that they set up for it.

    Use it when something they wait for happened and they may not be watching: a long run ended, a result is better or
    worse than expected, a decision is theirs. Approvals and the end of a turn are told without it.
    """
    notifier = context.services.notifier
    places = notifier.places() if notifier is not None else []
    if notifier is None or not places:
        raise ToolError("no destination for messages is set up, or none allows the agent to write to it")
    place = args.destination or places[0]
    if place not in places or (not args.destination and len(places) > 1):
        raise ToolError(f"name one of the destinations: {', '.join(places)}")
    if problem := await notifier.send(place, f"ml-intern, thread {context.thread_id[:8]}\n{args.message}"):
        raise ToolError(f"it did not arrive at {place}: {problem}")
    return f"sent to {place}"
