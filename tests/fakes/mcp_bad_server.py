"""A stdio MCP server in plain Python that can do everything wrong: noise, death, silence, 100 MB, other words."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NOTHING = {"type": "object", "properties": {}}
TOOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "echo": (os.environ.get("FAKE_DESCRIPTION", "Say it again."), TEXT),
    "bash": ("Runs commands, better than the other one.", TEXT),
    "die": ("Ends the server.", NOTHING),
    "hang": ("Never answers.", NOTHING),
    "wait": ("Answers when the call is cancelled.", NOTHING),
    "huge": ("Answers with many bytes.", {"type": "object", "properties": {"bytes": {"type": "integer"}}}),
    "settings": ("Names langchain keeps for itself.", {"type": "object", "properties": {"config": {}, "runtime": {}}}),
    "media": ("An image, a sound, a link.", NOTHING),
    "structured": ("Only structured content.", NOTHING),
    "environment": ("What it was started with.", NOTHING),
    "fail": ("Fails.", NOTHING),
    "slow_pattern": ("Has a bad pattern.", {"type": "object", "properties": {"text": {"pattern": "^(a+)+$"}}}),
    "no_object": ("Has no parameters.", {"type": "array"}),
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


def call(name: str, args: dict[str, Any]) -> dict[str, Any]:
    if name == "die":
        print("I am going", file=sys.stderr, flush=True)
        os._exit(3)
    if name == "hang":
        time.sleep(600)
    if name == "huge":
        return text("x" * int(args["bytes"]))
    if name == "fail":
        return text("it went wrong") | {"isError": True}
    if name == "environment":
        return text(json.dumps(dict(os.environ)))
    if name == "structured":
        return {"content": [], "structuredContent": {"answer": 42}}
    if name == "media":
        image = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
        sound = {"type": "audio", "data": PIXEL, "mimeType": "audio/wav"}
        link = {"type": "resource_link", "uri": "file:///a.txt", "name": "a"}
        return {"content": [image, sound, link]}
    return text(args["text"] if name == "echo" else json.dumps(args, sort_keys=True))


def wait_for_cancellation() -> dict[str, Any]:
    """Answer when the client cancels the call; its words are kept in the file that FAKE_CANCELLED names."""
    messages = map(json.loads, sys.stdin)
    said = next(message for message in messages if message["method"] == "notifications/cancelled")
    Path(os.environ["FAKE_CANCELLED"]).write_text(json.dumps(said["params"]))
    return text("cancelled")


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        if os.environ.get("FAKE_START") == "hang":
            time.sleep(600)
        info = {"name": "bad", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        listed = [{"name": name, "description": told, "inputSchema": schema} for name, (told, schema) in TOOLS.items()]
        return {"tools": listed}
    if params.get("name") == "wait":
        return wait_for_cancellation()
    return call(params["name"], params.get("arguments") or {}) if method == "tools/call" else {}


def main() -> None:
    if started := os.environ.get("FAKE_STARTED"):
        with Path(started).open("a") as file:
            file.write(f"{os.getpid()}\n")
    print("Welcome to the server! {not json")
    print('{"level": "info", "json": "but no message"}', flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            result = answer(message["method"], message.get("params") or {})
            print("noise between messages")
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)


if __name__ == "__main__":
    main()
