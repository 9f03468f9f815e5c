"""A login at the Hub that runs out over night is renewed by the Hub's library, once, and the run goes on."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.fakes.hub.server import TOKEN, FakeHub
from tests.fakes.model_server import FakeModelServer, Reply, error

ONE_CALL = """
import asyncio, sys
from pathlib import Path
from langchain_core.messages import HumanMessage
from ml_intern.graph.events import emitter
from ml_intern.models.gateway import ModelRequest, Models
from ml_intern.store.store import Store

async def main():
    async with await Store.open(Path(sys.argv[1])) as store:
        models = Models(store.ledger)
        try:
            print((await models.complete(ModelRequest("org/m:x", [HumanMessage("x")]), emitter(print))).message.content)
        except Exception as error:
            print(error)
        finally:
            await models.close()

asyncio.run(main())
"""


def ask(server: FakeModelServer, hub: FakeHub, folder: Path, stored: str) -> str:
    login = folder / "hf"
    login.mkdir()
    (login / "token").write_text("hf_old")
    (login / "stored_tokens").write_text(stored)
    environment = {"HF_HOME": str(login), "HF_ENDPOINT": hub.url, "ML_INTERN_ROUTER_URL": server.url}
    kept = {name: value for name, value in os.environ.items() if name not in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")}
    command = [sys.executable, "-c", ONE_CALL, str(folder / "home")]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=kept | environment)
    assert done.stderr == ""
    return done.stdout


def test_a_login_that_ran_out_is_renewed_and_one_that_cannot_be_is_said(
    server: FakeModelServer, tmp_path: Path
) -> None:
    server.say(error(401, "expired"), Reply(text="welcome back"), error(401, "expired"))
    with FakeHub() as hub:
        renewable = f"[ada]\nhf_token = hf_old\nrefresh_token = again\nexpires_at = {int(time.time()) - 9}\n"
        assert "welcome back" in ask(server, hub, tmp_path, renewable)
        assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer hf_old", f"Bearer {TOKEN}"]
        (tmp_path / "other").mkdir()
        assert "rejected the key in HF_TOKEN" in ask(server, hub, tmp_path / "other", "[ada]\nhf_token = hf_old\n")
    assert len(server.asked) == 3
