"""datasets: the inspection before training, rows, SQL, and clear errors for inaccessible datasets."""

from typing import Any

import pytest

from ml_intern.execution.call import ToolResult
from tests.fakes.hub import FakeHub
from tests.tools.hub.conftest import HubBench

REVIEWS = [{"text": f"review number {n}", "label": int(n % 10 == 0), "stars": n % 5} for n in range(200)]
CHATS = [
    {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}]} for n in range(5)
]


async def inspect(desk: HubBench, dataset: str, **args: Any) -> ToolResult:
    return await desk.run("datasets", operation="inspect", dataset=dataset, **args)


async def test_inspect_reports_what_matters_before_training(hub: FakeHub, desk: HubBench) -> None:
    card = "---\nlicense: mit\nlanguage: en\n---\n"
    hub.add("datasets", "org/reviews", {"README.md": card})
    hub.add_dataset("org/reviews", {"train": REVIEWS, "test": REVIEWS[:20]}, labels={"label": ["bad", "good"]})
    text = (await inspect(desk, "org/reviews")).text
    for expected in (
        "dataset org/reviews, public · license mit",
        "splits of default: train (200), test (20)",
        "label: label of 2: bad, good; 2 values",
        "text: string; min 15 max 17",
        "matches as is: SFT or continued pre-training (text); text classification (text, label)",
        "label: bad 180 (90.0%), good 20 (10.0%); imbalanced, 9.0 to 1; always predicting bad is right for 90.0%",
        "20 of the rows examined occur in both train and test",
        '{"text": "review number 0", "label": 1, "stars": 0}',
    ):
        assert expected in text, expected
    assert "none (100 rows examined)" in text


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"README.md": "# Reviews\n\nBy hand."}, "README.md does not name a license, language or task"),
        ({"README.md": "---\npretty_name: R\n---\n"}, "README.md does not name a license, language or task"),
        ({"data.txt": "x"}, "no card (README.md)"),
    ],
)
async def test_a_card_without_metadata_is_not_a_missing_card(
    hub: FakeHub, desk: HubBench, files: dict[str, str], expected: str
) -> None:
    hub.add("datasets", "org/d", files)
    hub.add_dataset("org/d", {"train": REVIEWS})
    assert f"dataset org/d, public · {expected}\n" in (await inspect(desk, "org/d")).text


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (CHATS, "messages: turns of {role, content}, 2 to 2 per row; roles: user 5, assistant 5"),
        (CHATS, "matches as is: SFT (messages)"),
        ([{"messages": CHATS[0]["messages"][:1]}] * 3, "3 of 3 rows that end with a user turn"),
        ([{"messages": CHATS[0]["messages"][:1]}] * 3, "2 of 3 rows are duplicates"),
        (
            [{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}] * 2,
            "matches after column changes (conversations as messages",
        ),
        ([{"prompt": "p", "chosen": "c", "rejected": "r"}] * 2, "DPO, ORPO, CPO (prompt, chosen, rejected)"),
        ([{"prompt": "p", "chosen": "c", "rejected": "r"}] * 2, "GRPO, RLOO, online DPO (prompt)"),
        ([{"instruction": "i", "output": "o"}] * 2, "instruction as prompt (join it with input, if present)"),
        ([{"pixels": 1}] * 2, "matches no trainer by its column names"),
        ([{"text": "a", "label": None}, {"text": "b", "label": 1}], "1 missing"),
    ],
)
async def test_conversation_formats_trainers_and_anomalies_are_reported(
    hub: FakeHub, desk: HubBench, rows: list[dict[str, Any]], expected: str
) -> None:
    hub.add_dataset("org/d", {"train": rows})
    assert expected in (await inspect(desk, "org/d")).text


async def test_rows_are_found_by_offset_words_and_condition(hub: FakeHub, desk: HubBench) -> None:
    hub.add_dataset("org/reviews", {"train": REVIEWS})

    async def rows(**args: Any) -> str:
        return (await desk.run("datasets", operation="rows", dataset="org/reviews", **args)).text

    assert '"review number 7"' in await rows(offset=7, limit=1)
    assert "rows 7 to 7 of 200" in await rows(offset=7, limit=1)
    assert "rows 0 to 0 of 1]" in await rows(query="number 199")
    found = await rows(where='"label"=1 AND "stars"=0', orderby='"text" DESC', limit=2)
    assert "rows 0 to 1 of 20]" in found
    assert '"review number 90"' in found
    assert "A query parameter is invalid" in await rows(where="nonsense here")
    assert "no matching rows of org/reviews (default, train) at offset 0" in await rows(where='"stars"=77')
    assert "there is no split 'dev'; choose from: train" in await rows(split="dev")
    assert "there is no configuration 'x'; choose from: default" in await rows(config="x")


async def test_long_cells_are_cut_and_hidden_characters_escaped(hub: FakeHub, desk: HubBench) -> None:
    hub.add_dataset("org/long", {"train": [{"text": "x" * 50_000 + "\x1b[2J", "list": list(range(500))}] * 100})
    result = await desk.run("datasets", operation="rows", dataset="org/long", limit=20)
    assert len(result.text) < 20_000
    assert "(50,004 characters)" in result.text
    assert "(500 items)" in result.text
    assert len((await inspect(desk, "org/long")).text) < 20_000


async def test_sql_can_access_only_the_splits(hub: FakeHub, desk: HubBench) -> None:
    hub.add_dataset("org/reviews", {"train": REVIEWS, "test": REVIEWS[:20]})
    outside = desk.file("secret.csv", "a\n1\n")

    async def sql(query: str) -> str:
        return (await desk.run("datasets", operation="sql", dataset="org/reviews", sql=query)).text

    assert "label | n\n0 | 180\n1 | 20" in await sql("SELECT label, count(*) AS n FROM train GROUP BY 1 ORDER BY 1")
    assert "[only the first 10 rows are shown]" in await sql("SELECT * FROM train")
    assert "20" in await sql("SELECT count(*) FROM test WHERE text IN (SELECT text FROM train)")
    for query, expected in (
        (f"SELECT * FROM read_csv('{outside}')", "the query failed: Permission Error"),
        (f"COPY (SELECT 1) TO '{outside}'", "must be a single SELECT"),
        ("SELECT 1; SELECT 2", "must be a single SELECT"),
        ("SELECT nothing FROM train", "the query failed: Binder Error"),
        ("SELECT * FROM dev", "the tables are train, test"),
    ):
        assert expected in await sql(query), query
    assert hub.tokens_at("localhost") == []


async def test_a_dataset_without_viewer_is_read_from_its_files(hub: FakeHub, desk: HubBench) -> None:
    files = {"train.jsonl": '{"text": "a", "label": 1}\n' * 3, "data/test.csv": "text,label\nb,0\n", "README.md": "hi"}
    hub.add("datasets", "ada/own", files, private=True)
    text = (await inspect(desk, "ada/own")).text
    for expected in (
        "ada/own, private",
        "splits of (files): test, train",
        "text classification (text, label)",
        "unknown:\n  the dataset viewer does not show it",
        "2 of 3 rows are duplicates",
        "from the start of data/test.csv, train.jsonl",
    ):
        assert expected in text, expected


@pytest.mark.parametrize("state", ["pending", "failed"])
async def test_a_viewer_that_is_pending_or_failed_is_reported(hub: FakeHub, desk: HubBench, state: str) -> None:
    hub.add_dataset("org/d", {"train": REVIEWS})
    if state == "pending":
        hub.viewer.pending.add("org/d")
    else:
        hub.viewer.failed["org/d"] = "The dataset generation failed."
    result = await desk.run("datasets", operation="rows", dataset="org/d")
    assert not result.ok
    assert {"pending": "the response is not ready yet", "failed": "The dataset generation failed"}[state] in result.text
    assert "try again later" in result.text
    assert "review number 0" in (await inspect(desk, "org/d")).text


async def test_missing_statistics_do_not_prevent_the_report(hub: FakeHub, desk: HubBench) -> None:
    hub.add_dataset("org/d", {"train": REVIEWS})
    hub.fail("/viewer/statistics", 500)
    text = (await inspect(desk, "org/d")).text
    assert "splits of default: train (200)" in text
    assert "no statistics: the dataset viewer failed (500)" in text


async def test_a_dataset_with_3000_configurations_is_summarised(hub: FakeHub, desk: HubBench) -> None:
    hub.add("datasets", "org/many", {})
    for number in range(3_000):
        hub.viewer.put("org/many", {"train": [{"text": f"{number}"}]}, f"language_number_{number:04d}")
    text = (await inspect(desk, "org/many")).text
    assert "3,000 configurations: language_number_0000," in text
    assert len(text) < 6_000
    listed = desk.workspace.parent / "home" / "artifacts"
    names = next(path for path in listed.rglob("*.configurations.txt")).read_text().splitlines()
    assert len(names) == 3_000
    assert '{"text": "2999"}' in (await inspect(desk, "org/many", config="language_number_2999")).text
    assert "and 2,960 more" in (await inspect(desk, "org/many", config="none")).text


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("org/none", "there is no dataset org/none, or it is private and the token has no access"),
        ("org/hidden", "there is no dataset org/hidden, or it is private"),
        ("org/gated", "gated and the token has no access to it; the user must sign in and accept its terms on"),
        ("org/empty", "has no files whose rows can be read (no files)"),
        ("org/pictures", "has no files whose rows can be read (.tar)"),
    ],
)
async def test_an_inaccessible_dataset_is_reported_with_a_remedy(
    hub: FakeHub, desk: HubBench, dataset: str, expected: str
) -> None:
    hub.add("datasets", "org/hidden", {"train.jsonl": "{}"}, private=True)
    hub.add("datasets", "org/gated", {"train.jsonl": "{}"}, gated="manual")
    hub.add("datasets", "org/empty")
    hub.add("datasets", "org/pictures", {"a.tar": b"\0"})
    result = await inspect(desk, dataset)
    assert (result.ok, expected in result.text) == (False, True), result.text


async def test_leaderboard_and_search_return_their_entries(hub: FakeHub, desk: HubBench) -> None:
    hub.add("datasets", "org/bench", {"README.md": "---\nlicense: mit\n---\n"}, downloads=1_234_567)
    author = {"_id": "1", "name": "org", "fullname": "Org", "type": "org", "avatarUrl": ""}
    entry = {"rank": 1, "modelId": "org/m", "value": 0.9, "filename": "a", "verified": False, "author": author}
    hub.leaderboards["org/bench"] = [entry]
    board = await desk.run("datasets", operation="leaderboard", dataset="org/bench")
    assert "1. org/m: 0.9 (unverified)" in board.text
    found = await desk.run("datasets", operation="search", query="bench")
    assert "org/bench · 1.23M downloads in 30 days" in found.text
    assert found.taint == (f"{hub.url}/datasets",)


async def test_the_token_goes_only_to_the_hubs_viewer(
    hub: FakeHub, desk: HubBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_dataset("org/d", {"train": REVIEWS})
    await desk.run("datasets", operation="rows", dataset="org/d")
    assert [asked.token for asked in hub.asked if asked.path.startswith("/viewer")] == [hub_token()] * 2
    hub.asked.clear()
    desk.hosts = {"dataset_viewer": f"{hub.cdn_url}/viewer"}
    await desk.run("datasets", operation="rows", dataset="org/d")
    assert len(hub.asked) == 2
    assert hub.tokens_at("localhost") == []
    desk.hosts = {"dataset_viewer": hub.viewer_url}
    hub.redirect("/viewer/splits", f"{hub.cdn_url}/viewer/splits")
    refused = await desk.run("datasets", operation="rows", dataset="org/d")
    assert "redirects to another server" in refused.text
    assert hub.tokens_at("localhost") == []


def hub_token() -> str:
    from tests.fakes.hub.server import TOKEN

    return TOKEN
