"""/share-traces, and the question about uploading traces that is asked once."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ml_intern.configs.errors import MLInternError
from ml_intern.configs.layers import load
from ml_intern.configs.settings import Settings
from ml_intern.configs.user_files import change_user_settings, mark_asked, was_asked

if TYPE_CHECKING:
    from ml_intern.terminal.input.reader import LineReader
    from ml_intern.terminal.slash.host import Host
    from ml_intern.terminal.state import Transcript

QUESTION = "share-traces"
CHOICES = ("public", "private", "off")


async def ask_share(screen: "Transcript", asks: "LineReader") -> None:
    """Ask once whether to upload threads as traces to the Hub."""
    if was_asked(QUESTION):
        return
    screen.line(
        "ml-intern can upload your threads as traces to a private dataset in your account on the Hub. Secrets are "
        "redacted. /share-traces changes this later.",
        "bold",
    )
    answer = await asks.line("Upload this thread and later ones? [y/N] ")
    mark_asked(QUESTION)
    if (answer or "").strip().lower() in ("y", "yes"):
        _save("private")
        screen.line("traces are uploaded to a private dataset; /share-traces off stops this", "dim")


async def share_traces(host: "Host", argument: str) -> None:
    """Show or change whether traces are uploaded."""
    if argument and argument not in CHOICES:
        host.screen.line("usage: /share-traces [public|private|off]", "failure")
    elif not argument:
        host.screen.line(f"traces: {_now(host)}")
    elif argument == "off":
        _save(False)
        host.screen.line("traces are no longer uploaded; you can delete earlier ones on the Hub", "dim")
    else:
        await _share(host, argument)


async def _share(host: "Host", how: str) -> None:
    if how == "public":
        answer = await host.prompt.line(
            "This thread, later ones and those already uploaded become visible to everyone. Continue? [y/N] "
        )
        if (answer or "").strip().lower() not in ("y", "yes"):
            host.screen.line("no change", "dim")
            return
    try:
        repository = await host.session.set_trace_visibility(public=how == "public")
    except MLInternError as error:
        host.screen.line(f"no change: {error}", "failure")
        return
    _save(how)
    mark_asked(QUESTION)
    host.screen.line(f"traces are uploaded to the {how} dataset {repository} at the end of each session", "dim")


def _save(how: "str | Literal[False]") -> None:
    change_user_settings(lambda values: values.update(share_traces=how))


def _now(host: "Host") -> str:
    how = _settings(host).share_traces
    return f"uploaded to a {'public' if how == 'public' else 'private'} dataset" if how else "not uploaded"


def _settings(host: "Host") -> Settings:
    return load(Path(host.options.workspace)).settings
