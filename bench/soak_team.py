"""Two servers, four workers and twelve threads of three users on one database, while workers are killed and stopped.

    python -m bench.soak_team [--minutes 30] [--folder .cache/soak_team] [--out bench/soak_team.json]

A worker that runs threads and all its processes are killed every KILL_SECONDS, and stopped for STOPPED_SECONDS every
STOP_SECONDS. Each thread gets messages from its user, through one of the servers; each message lets the model run a
command that appends a line to a file. Nothing may be lost, doubled or out of order, and no user may see anything of
another one.

It is played in rounds of ROUND_MINUTES. Each is one line of rounds.jsonl in the folder; the next run counts on from
there.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml

from bench.soak_team_processes import ROOT, SERVERS, Played, SoakServers, SoakUser, SoakWorkers
from ml_intern.configs.paths import DATABASE_VARIABLE, workspaces_home
from ml_intern.session.opening.store import open_store
from ml_intern.session.team.following import TeamThreads, open_team_threads
from tests.fakes.postgres import running_server

USERS, THREADS, MESSAGES = ("ada", "grace", "emmy"), 12, 400
ROUND_MINUTES, REST_SECONDS, LOOK_SECONDS = 10.0, 120.0, 1.0
KILL_SECONDS, STOP_SECONDS = 60.0, 300.0
THINKING_SECONDS = 2.5
"""The time that the model takes for an answer. With a second less, twelve sandboxed threads keep two cores busy."""
SECONDS = ("begun_after_s", "killed_s", "stopped_s")
FAULTS = ("lost", "doubled", "out_of_order", "seen_by_the_wrong_user")
SETTINGS = {
    "mcpServers": {"hf-mcp-server": {"enabled": False}},
    "team": {"posts_per_minute": 100_000, "models": ["scripted:/*"]},
}


def script_of(folder: Path, messages: int) -> str:
    """A model that appends the number of each message to a file, and then says it."""
    steps: list[dict[str, Any]] = [{"text": "said 0"}]
    for number in range(1, messages + 1):
        call = {"name": "bash", "args": {"command": f"echo {number} >> lines"}}
        steps += [
            {"tool_calls": [call], "delay": THINKING_SECONDS},
            {"text": f"said {number}", "delay": THINKING_SECONDS},
        ]
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump(steps, sort_keys=False))
    return f"scripted:{path}"


async def added_users() -> list[SoakUser]:
    """Add the users, and return them with their tokens."""
    async with open_store() as store:
        return [SoakUser(name, await store.users.add_token(await store.users.add(name))) for name in USERS]


async def created(servers: SoakServers, user: SoakUser, number: int, folder: Path) -> Played:
    """Let a user start a thread with a model of its own, whose mode is auto."""
    folder.mkdir()
    body = {"folder": "", "text": "0", "model": script_of(folder, MESSAGES)}
    reply = (await servers.send(number, user, "POST", "/api/threads", body)).raise_for_status()
    id = str(reply.json()["id"])
    user.threads.append(id)
    thread = Played(id, user, workspaces_home() / id)
    (thread.folder / "lines").touch()
    await servers.post(number, thread, "mode", {"type": "set_mode", "mode": "auto"})
    return thread


async def play(threads: TeamThreads, servers: SoakServers, number: int, thread: Played, until: float) -> None:
    """Post one message after the other, each when the turn of the one before has ended."""
    ended = asyncio.Event()
    begun: dict[str, float] = {}

    def take(line: dict[str, Any]) -> None:
        event = line["event"]
        if event["type"] == "processing":
            begun.setdefault(event["data"]["id"], time.monotonic())
        if event["type"] in ("ready", "resumed") and "state" not in line and thread.cut_off:
            how, at = thread.cut_off
            thread.gaps[how].append(time.monotonic() - at)
            thread.cut_off = None
        was_ended = event["type"] == "resumed" and not event["data"]["pending"]
        if (event["type"] == "turn_complete" or was_ended) and "state" not in line and begun:
            ended.set()

    async with threads.follow(thread.id, take) as follower:
        await follower.start()
        while time.monotonic() < until:
            message = len(thread.posted)
            id, at = f"{thread.id}:{message}", time.monotonic()
            await servers.post(number, thread, id, {"type": "user_input", "text": str(message), "id": id})
            thread.posted.append(message)
            await ended.wait()
            ended.clear()
            thread.seconds.append(begun.get(id, time.monotonic()) - at)


async def spy(servers: SoakServers, users: list[SoakUser], seen: list[str]) -> int:
    """Let each user ask both servers for the threads of the others again and again. Return the number of requests.

    `seen` gets what was shown.
    """
    count = 0
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for user in users:
                with suppress(httpx.TransportError):
                    seen += await looked(servers, user, [one for one in users if one is not user])
                    count += len(LOOKS) + 1
    return count


LOOKS = (
    ("GET", "/t/{id}"), ("GET", "/api/threads/{id}/history"), ("GET", "/api/threads/{id}/events"),
    ("GET", "/api/threads/{id}/export/html"), ("POST", "/api/threads/{id}/operations"),
    ("POST", "/api/threads/{id}/access"), ("POST", "/t/{id}/do"),
)  # fmt: skip


async def looked(servers: SoakServers, user: SoakUser, others: list[SoakUser]) -> list[str]:
    """Return what a user was shown of a thread of another user."""
    server, found = random.randrange(SERVERS), []
    listed = await servers.send(server, user, "GET", "/api/threads")
    if listed.is_success:
        found += [one["row"]["id"] for one in listed.json() if one["row"]["id"] not in user.threads]
    id = random.choice(random.choice(others).threads)
    do = {"id": f"spy {time.time()}", "do": {"type": "interrupt"}, "user": user.name, "can": "own"}
    for method, path in LOOKS:
        body = do if method == "POST" else None
        reply = await servers.send(server, user, method, path.format(id=id), body)
        found += [f"{path} {reply.status_code}"] if reply.status_code not in (404, 503) else []
    return [f"{user.name}: {one}" for one in found]


def faults(thread: Played, said: list[str]) -> dict[str, list[str]]:
    """What was lost, doubled or out of order in a thread. `said` are the user's messages in its conversation.

    A command that was cut off by a kill is not repeated, so its line may be missing.
    """
    lines, posted = (thread.folder / "lines").read_text().split(), [str(number) for number in thread.posted]
    twice = [one for texts in (said, lines) for one in dict.fromkeys(texts) if texts.count(one) > 1]
    ordered = [texts for texts in (said, lines) if texts != sorted(texts, key=int)]
    return {
        "lost": [one for one in posted if one not in said],
        "doubled": twice,
        "out_of_order": [" ".join(texts) for texts in ordered],
    }


async def play_round(folder: Path, minutes: float) -> dict[str, Any]:
    """Play a round, and return what was seen."""
    users = await added_users()
    workers, servers = SoakWorkers(folder / "workers.log"), SoakServers(folder / "servers.log")
    await servers.ready()
    seen = list[str]()
    async with open_team_threads() as threads:
        played = [
            await created(servers, users[number % len(users)], number, folder / f"t{number}")
            for number in range(THREADS)
        ]
        await rest()
        began = time.monotonic()
        until = began + 60 * minutes
        playing = [play(threads, servers, number, thread, until) for number, thread in enumerate(played)]
        disturbing, spying = (asyncio.create_task(one) for one in (disturb(workers, played), spy(servers, users, seen)))
        try:
            await asyncio.gather(*playing)
            await rest()
        finally:
            for task in (disturbing, spying):
                task.cancel()
            _, looks = await asyncio.gather(disturbing, spying, return_exceptions=True)
            workers.end()
            await servers.end()
        found = {thread.id: faults(thread, await said_in(thread.id)) for thread in played}
    return {
        "minutes": (time.monotonic() - began) / 60,
        "kills": workers.kills,
        "stops": workers.stops,
        "messages": sum(len(thread.posted) for thread in played),
        "commands": sum(len((thread.folder / "lines").read_text().split()) for thread in played),
        "looks": looks,
        "begun_after_s": [wait for thread in played for wait in thread.seconds],
        "killed_s": [gap for thread in played for gap in thread.gaps["killed"]],
        "stopped_s": [gap for thread in played for gap in thread.gaps["stopped"]],
        **{name: [f"{id}: {one}" for id, of in found.items() for one in of[name]] for name in FAULTS[:3]},
        FAULTS[3]: seen,
        "slow": servers.slow,
        "load": os.getloadavg()[0],
    }


async def rest() -> None:
    """Wait until nothing that was posted waits for a worker, also after the last events that were seen."""
    query = (
        "SELECT (SELECT count(*) FROM ml_intern.queued_messages) + (SELECT count(*) FROM ml_intern.operations "
        "WHERE state IN ('open', 'begun')) + (SELECT count(*) FROM ml_intern.threads WHERE state = 'running')"
    )
    until = time.monotonic() + REST_SECONDS
    while time.monotonic() < until:
        with psycopg.connect(os.environ[DATABASE_VARIABLE]) as connection:
            if connection.execute(query).fetchone() == (0,):
                return
        await asyncio.sleep(1)


def report_of(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of all rounds."""
    sums = {
        name: round(sum(one[name] for one in rounds), 1)
        for name in ("minutes", "kills", "stops", "messages", "commands", "looks")
    }
    spread = {name: spread_of([one for it in rounds for one in it[name]]) for name in SECONDS}
    wrong = {name: [one for it in rounds for one in it[name]] for name in FAULTS}
    counts = {name: len(found) for name, found in wrong.items()}
    slow, load = [line for one in rounds for line in one["slow"]], [round(one["load"], 1) for one in rounds]
    details = {name: found for name, found in wrong.items() if found}
    return {"rounds": len(rounds), **sums, **spread, **counts, "details": details, "slow": slow, "load": load}


def spread_of(seconds: list[float]) -> dict[str, float]:
    """Return the number, median, 95th percentile and maximum."""
    found = sorted(seconds) or [0.0]
    p95 = found[int(0.95 * (len(found) - 1))]
    return {
        "n": len(seconds),
        "median": round(statistics.median(found), 2),
        "p95": round(p95, 2),
        "max": round(found[-1], 2),
    }


async def said_in(thread_id: str) -> list[str]:
    """The user's messages in the conversation of a thread."""
    from ml_intern.session.threads import open_threads

    async with open_threads(lambda *_: None) as threads, threads.read(thread_id) as thread:
        return [message.text for message in await thread.history() if message.role == "user"]


async def disturb(workers: SoakWorkers, threads: list[Played]) -> None:
    """Kill and stop workers, until this is cancelled."""
    stopping = time.monotonic() + STOP_SECONDS / 2
    while True:
        await asyncio.sleep(KILL_SECONDS)
        workers.kill(threads)
        if time.monotonic() > stopping:
            stopping = time.monotonic() + STOP_SECONDS
            await workers.stop(threads)


def played_round(minutes: float) -> dict[str, Any]:
    """Play a round on a database of its own."""
    with running_server() as server, tempfile.TemporaryDirectory(prefix="ml-intern-soak-") as name:
        os.environ |= {DATABASE_VARIABLE: server.new_database(), "ML_INTERN_HOME": f"{name}/home"}
        settings = Path(name) / "settings.json"
        settings.write_text(json.dumps(SETTINGS))
        os.environ["ML_INTERN_CLI_CONFIG"] = str(settings)
        return asyncio.run(play_round(Path(name), minutes))


def recorded(file: Path) -> list[dict[str, Any]]:
    """Return the rounds of all runs so far. A line that was cut off does not count."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def main() -> None:
    """Read the arguments, soak and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache/soak_team")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    file = given.folder / "rounds.jsonl"
    rounds = recorded(file)
    while (left := given.minutes - sum(one["minutes"] for one in rounds)) > 0.5:
        rounds.append(played_round(min(left, ROUND_MINUTES)))
        with file.open("a") as record:
            record.write(json.dumps(rounds[-1]) + "\n")
        print(json.dumps(report_of(rounds)), flush=True)
        if report_of(rounds)["details"]:
            break
    report = report_of(rounds)
    print(json.dumps(report, indent=2))
    if given.out:
        given.out.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(bool(report["details"]))


if __name__ == "__main__":
    main()
