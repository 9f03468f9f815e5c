"""The setting `mcpServers`: for each server a command to start, or an address to call."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
DEFINES = frozenset({"url", "command"})
"""An entry with one of these keys is a complete definition: it replaces an earlier layer's entry, headers included."""
Seconds = Annotated[float, Field(gt=0, le=3_600)]


def _refuse_sse(transport: object) -> object:
    if transport == "sse":
        raise ValueError("the transport sse is no longer supported; use http with the server's address for it")
    return transport


class McpServer(BaseModel):
    """One server. Unknown keys, as other agents' files have them, are preserved and have no effect."""

    model_config = ConfigDict(frozen=True, extra="allow")

    transport: Annotated[
        Literal["stdio", "http", "streamable-http", "streamable_http"] | None, BeforeValidator(_refuse_sse)
    ] = Field(None, validation_alias=AliasChoices("transport", "type"))
    """null: derived from `url` or `command`."""
    url: str | None = None
    """The address of a server over streamable HTTP."""
    headers: dict[str, str] = Field(default_factory=dict)
    """HTTP headers, sent to this server only."""
    command: str | None = None
    """The program of a server over stdio."""
    args: tuple[str, ...] = ()
    """Its arguments."""
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the server. Otherwise it gets only PATH, HOME and the like."""
    cwd: str | None = None
    """The folder it runs in; null: your home folder, for a server of a project the project's folder."""
    enabled: bool = True
    """Whether the server is used."""
    startup_timeout_s: Seconds = 30.0
    """Seconds the server may take to start and list its tools."""
    timeout_s: Seconds = 60.0
    """Seconds one call may take."""

    @property
    def is_http(self) -> bool:
        """Whether the server is reached over HTTP."""
        return self.url is not None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise ValueError("a server needs either a command or a url")
        if self.transport is not None and (self.transport == "stdio") == self.is_http:
            raise ValueError(f"the transport {self.transport} needs a {'command' if self.is_http else 'url'}")
        if self.url is not None:
            _check_address(self.url)
        if self.command is not None and not self.command.strip():
            raise ValueError("the command is empty")
        return self

    @model_serializer(mode="wrap")
    def _as_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        whole: dict[str, JsonValue] = serialize(self)
        given = self.model_fields_set | set(self.model_extra or {})
        return {name: value for name, value in whole.items() if name in given}


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the url is not an http address")
    if parts.username or parts.password:
        raise ValueError("the url contains a password; put it into headers, as ${NAME}")


def check_names(servers: Mapping[str, McpServer]) -> Mapping[str, McpServer]:
    """Return `servers`. Raises ValueError when a name cannot be part of a tool's name."""
    for name in servers:
        if not SERVER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid server name; use at most 40 letters, digits, _ - and .")
    return servers
