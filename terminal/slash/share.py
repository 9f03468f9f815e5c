"""Sharing of traces: the question that is asked once, and /share-traces."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ml_intern.configs.errors import MLInternError
from ml_intern.configs.layers import load
from ml_intern.configs.settings import Settings
from ml_intern.configs.user_files import change_user_settings, mark_asked, was_asked

if TYPE_CHECKING:
    from ml_intern.terminal.approval import Asks
    from ml_intern.terminal.screen import Screen
    from ml_intern.terminal.slash.host import Host

QUESTION = "share-traces"
CHOICES = ("public", "private", "off")


async def ask_share(screen: "Screen", asks: "Asks") -> None:
    """Ask once whether threads are to be kept as traces on the Hub."""
    if was_asked(QUESTION):
        return
    screen.line(
        "Your threads can be saved as traces in your private dataset on the Hub, with secrets redacted.", "bold"
    )
    answer = await asks.line("upload this thread and later ones (y yes; anything else: no, /share-traces changes it)? ")
    mark_asked(QUESTION)
    if (answer or "").strip().lower() in ("y", "yes"):
        _keep("private")
        screen.line("traces are shared, privately; /share-traces off ends it", "dim")


async def share_traces(host: "Host", argument: str) -> None:
    """Show whether traces are uploaded, or say it: publicly, privately, or not."""
    if argument and argument not in CHOICES:
        host.screen.line("write /share-traces public, /share-traces private or /share-traces off", "red")
    elif not argument:
        host.screen.line(f"traces: {_now(host)}")
    elif argument == "off":
        _keep(False)
        host.screen.line("traces are no longer uploaded; what is there stays, delete it on the Hub", "dim")
    else:
        await _share(host, argument)


async def _share(host: "Host", how: str) -> None:
    if how == "public":
        answer = await host.prompt.line(
            "everybody will see this and later threads, and those uploaded already. Sure (y)? "
        )
        if (answer or "").strip().lower() not in ("y", "yes"):
            host.screen.line("nothing was changed", "dim")
            return
    try:
        repository = await host.session.set_trace_visibility(public=how == "public")
    except MLInternError as error:
        host.screen.line(f"nothing was changed: {error}", "red")
        return
    _keep(how)
    mark_asked(QUESTION)
    host.screen.line(f"traces go to the {how} dataset {repository} at the end of a session", "dim")


def _keep(how: "str | Literal[False]") -> None:
    change_user_settings(lambda values: values.update(share_traces=how))


def _now(host: "Host") -> str:
    how = _settings(host).share_traces
    return "not uploaded" if not how else f"uploaded, {'public' if how == 'public' else 'private'}"


def _settings(host: "Host") -> Settings:
    return load(Path(host.options.workspace)).settings
