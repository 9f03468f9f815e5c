"""The import of litellm, with settings that it reads only from the environment and without unused parts."""

import gc
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

CHAT_MODULE = "ml_intern.models.transports.litellm_chat"
LITELLM_SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it downloads the price table while it is imported
    "MAX_BASE64_LENGTH_FOR_LOGGING": "0",  # else it searches the whole history for base64 after every reply
}
COLLECT_AFTER = 2_000
"""The number of new objects that triggers garbage collection."""


def import_litellm() -> None:
    """Import litellm for the transport. It takes seconds, so call it in a thread."""
    with _settings(), _lazy_encodings():
        importlib.import_module(CHAT_MODULE)
    # It keeps every request and its history in reference cycles: collect often, but not the imported modules.
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
def _lazy_encodings() -> Iterator[None]:
    """Delay the encoding that litellm loads while it is imported: 40 MB in half a second, for a disabled counter."""
    import tiktoken

    read = tiktoken.get_encoding
    tiktoken.get_encoding = lambda name: LazyEncoding(read, name)  # type: ignore[assignment,return-value]
    try:
        yield
    finally:
        tiktoken.get_encoding = read


class LazyEncoding:
    """An encoding of tiktoken that is loaded on first use."""

    def __init__(self, read: Callable[[str], Any], name: str) -> None:
        self._read = read
        self._name = name

    @cached_property
    def _encoding(self) -> Any:
        return self._read(self._name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoding, name)
