"""What a call costs over a held MCP session: `python bench/mcp_calls.py [CALLS]`, in milliseconds, server included."""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ml_intern.configs.mcp_servers import McpServer
from ml_intern.tools.mcp.connection import Connection

SERVER = Path(__file__).resolve().parent.parent / "tests" / "fakes" / "mcp_bad_server.py"


async def _taken(_: Connection) -> None:
    """The tools are not kept anywhere."""


async def measure(calls: int) -> list[float]:
    """Milliseconds of each call of the tool that says its text again."""
    server = McpServer(command=sys.executable, args=("-I", str(SERVER)), cwd=tempfile.gettempdir())
    connection = Connection("bench", server, _taken)
    connection.start()
    try:
        times = []
        for number in range(calls + 5):
            began = time.perf_counter()
            await connection.call("echo", {"text": str(number)})
            times.append((time.perf_counter() - began) * 1000)
        return times[5:]
    finally:
        await connection.close()


if __name__ == "__main__":
    found = sorted(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 300)))
    median, late = statistics.median(found), found[int(len(found) * 0.95)]
    print(f"{len(found)} calls: median {median:.2f} ms, 95th percentile {late:.2f} ms, slowest {found[-1]:.2f} ms")
