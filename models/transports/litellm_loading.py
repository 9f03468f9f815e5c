"""Importing litellm: with settings it takes from the environment only, and without what is not needed of it."""

import gc
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

CHAT_MODULE = "ml_intern.models.transports.litellm_chat"
LITELLM_SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else the table of prices is fetched while importing
    "MAX_BASE64_LENGTH_FOR_LOGGING": "0",  # else the whole history is searched for base64 after every reply
}
COLLECT_AFTER = 2_000
"""New objects after which garbage is collected."""


def import_litellm() -> None:
    """Import litellm as the transport needs it; call it in a thread, since it takes seconds."""
    with _settings(), _encodings_unread():
        importlib.import_module(CHAT_MODULE)
    # It keeps every request, history and all, in cycles: they are collected often, and what was imported is left alone.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


@contextmanager
def _settings() -> Iterator[None]:
    set_here = [name for name in LITELLM_SETTINGS if name not in os.environ]
    os.environ.update({name: LITELLM_SETTINGS[name] for name in set_here})
    try:
        yield
    finally:
        for name in set_here:
            del os.environ[name]


@contextmanager
def _encodings_unread() -> Iterator[None]:
    """litellm reads an encoding while it is imported: 40 MB in half a second, for a counter that is switched off."""
    import tiktoken

    read = tiktoken.get_encoding
    tiktoken.get_encoding = lambda name: UnreadEncoding(read, name)  # type: ignore[assignment,return-value]
    try:
        yield
    finally:
        tiktoken.get_encoding = read


class UnreadEncoding:
    """An encoding of tiktoken that is read when it is first used."""

    def __init__(self, read: Callable[[str], Any], name: str) -> None:
        self._read = read
        self._name = name

    @cached_property
    def _encoding(self) -> Any:
        return self._read(self._name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoding, name)
