"""The pages of searches: the list, the curve and the tree, an attempt's change, the report."""

import asyncio
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ml_intern.search.record import SearchRecord
from ml_intern.search.saved import add_search
from ml_intern.search.tree import Attempt, SearchTree
from ml_intern.session.opening.store import open_store
from tests.search.records import finished_search
from tests.search.trees import ACCURACY
from tests.server.web.conftest import Web
from tests.server.web.test_pages import EVIL


def save(search: SearchRecord) -> str:
    async def saving() -> None:
        async with open_store() as store:
            saved = await add_search(store, search)
            for attempt in search.tree.attempts:
                await saved.save_attempt(attempt)

    asyncio.run(saving())
    return f"/s/{search.search_id}"


def with_attempts(id: str, attempts: Sequence[Attempt]) -> SearchRecord:
    return replace(finished_search(), search_id=id, tree=SearchTree(ACCURACY, tuple(attempts)))


def test_a_search_is_listed_and_shown_with_its_curve_and_tree(web: Web) -> None:
    assert "No searches yet" in web.client.get("/searches").text
    url = save(replace(finished_search(), search_id="aa11"))
    listed = web.client.get("/searches/rows").text
    assert f'href="{url}"' in listed
    assert "best 0.8 [0.7752, 0.8248]" in listed
    page = web.client.get(url).text
    assert page.count("<circle") == 4
    assert "attempt 5" in page
    assert "$1.00 of $10.00" in page
    assert page.count("<tr ") == 7
    assert "changed eval.py, which is locked" in web.client.get(f"{url}/part").text


def test_the_report_is_a_file(web: Web) -> None:
    reply = web.client.get(f"{save(replace(finished_search(), search_id='bb22'))}/report")
    assert 'filename="search-bb22.html"' in reply.headers["content-disposition"]
    assert "What each change contributes" in reply.text


def test_an_attempt_is_shown_with_its_change_against_its_parent(web: Web, tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    git("config", "user.email", "a@b.c")
    git("config", "user.name", "a")
    commits = []
    for trees in ("10", "100"):
        (tmp_path / "train.py").write_text(f"trees = {trees}\n")
        git("add", ".")
        git("commit", "-q", "-m", "x")
        commits.append(git("rev-parse", "HEAD"))
    rows = finished_search().tree
    attempts = replace(rows[0], commit=commits[0]), replace(rows[1], commit=commits[1], idea=EVIL, why=EVIL)
    search = with_attempts("cc33", attempts)
    url = save(replace(search, plan=replace(search.plan, folder=str(tmp_path), task=EVIL), conclusion=None))
    page = web.client.get(f"{url}/1").text
    assert "+trees = 100" in page
    assert "No change." in web.client.get(f"{url}/0").text
    assert "<script>alert" not in page + web.client.get(url).text + web.client.get("/searches").text


def test_a_search_or_an_attempt_that_does_not_exist_is_one_clear_line(web: Web) -> None:
    url = save(replace(finished_search(), search_id="dd44"))
    assert "there is no search" in web.client.get("/s/none").text
    for number in ("99", "x", "-1"):
        reply = web.client.get(f"{url}/{number}")
        assert reply.status_code == 404
        assert "there is no such attempt" in reply.text
