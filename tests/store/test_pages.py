"""The page cache: lookup by address, full-text search, replacement, and recovery from damage."""

import sqlite3
import time
from pathlib import Path

from ml_intern.store.sqlite.pages import FILE, MAX_AGE_SECONDS, CachedPage, open_pages


def page(url: str, text: str, shelf: str = "trl", age: float = 0.0) -> CachedPage:
    return CachedPage(url, shelf, f"Title of {url}", text, time.time() - age)


async def test_pages_are_found_by_address_and_by_inflected_words(tmp_path: Path) -> None:
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/sft", "Trains with supervision"), page("/dpo", "Learns from preferences")])
    async with open_pages(tmp_path) as pages:
        assert [found.url for found in await pages.search("training")] == ["/sft"]
        assert (await pages.get("/dpo")) is not None
        assert (await pages.get("/no")) is None


async def test_pages_with_all_words_come_before_pages_with_any(tmp_path: Path) -> None:
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/a", "learning rate"), page("/b", "rate of learning warmup"), page("/c", "warmup")])
        assert [found.url for found in await pages.search("learning warmup")] == ["/b"]
        assert {found.url for found in await pages.search("warmup elephants")} == {"/b", "/c"}


async def test_a_search_can_be_limited_to_a_shelf_and_contain_any_characters(tmp_path: Path) -> None:
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/a", "loss"), page("/b", "loss", shelf="peft")])
        assert [found.url for found in await pages.search('loss" OR * NEAR(', "peft")] == ["/b"]
        assert await pages.search('"*()') == []


async def test_a_page_replaces_its_earlier_version(tmp_path: Path) -> None:
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/a", "old words", age=100)])
        assert await pages.fresh("trl", 50) == set()
        await pages.put([page("/a", "new words")])
        assert await pages.fresh("trl", 50) == {"/a"}
        assert await pages.search("old") == []


async def test_old_pages_are_deleted(tmp_path: Path) -> None:
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/a", "x", age=MAX_AGE_SECONDS + 1)])
        assert await pages.get("/a") is None


async def test_a_damaged_cache_is_recreated(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/a", "x")])
        assert await pages.search("x")


def test_a_page_is_never_younger_than_now_even_if_the_clock_goes_back() -> None:
    assert page("/a", "x", age=-100).age == 0.0


async def test_a_cache_of_another_version_is_recreated(tmp_path: Path) -> None:
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/a", "x")])
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    async with open_pages(tmp_path) as pages:
        assert await pages.get("/a") is None
        await pages.put([page("/a", "y")])
        assert await pages.search("y")
