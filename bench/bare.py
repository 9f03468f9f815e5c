"""The program to compare with: LangChain's create_agent, ChatLiteLLM and one bash tool, with no store and no journal.

Run by bench.overhead with the model id as its argument; the endpoint comes from the provider's environment variables.
"""

import asyncio
import sys
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_litellm import ChatLiteLLM


@tool
async def bash(command: str) -> str:
    """Run a command."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return output.decode()


async def main(model: str) -> None:
    agent = create_agent(ChatLiteLLM(model=model, streaming=True), [bash])
    turn: Any = {"messages": [{"role": "user", "content": "Go."}]}
    parts: Any = agent.astream(turn, {"recursion_limit": 100_000}, stream_mode="messages")
    async for part, _ in parts:
        if part.type == "AIMessageChunk" and part.text:
            print(part.text, end="", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
