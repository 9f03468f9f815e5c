"""The cache of pages: found by address and by words, renewed in place, begun anew when it is damaged."""

import time
from pathlib import Path

from ml_intern.store.pages import FILE, KEPT_SECONDS, CachedPage, open_pages


def page(url: str, text: str, shelf: str = "trl", age: float = 0.0) -> CachedPage:
    return CachedPage(url, shelf, f"Title of {url}", text, time.time() - age)


async def test_pages_are_found_by_address_and_by_words_of_any_form(tmp_path: Path) -> None:
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/sft", "Trains with supervision"), page("/dpo", "Learns from preferences")])
    async with open_pages(tmp_path) as pages:
        assert [found.url for found in await pages.search("training")] == ["/sft"]
        assert (await pages.get("/dpo")) is not None
        assert (await pages.get("/no")) is None


async def test_all_words_come_before_any_word(tmp_path: Path) -> None:
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/a", "learning rate"), page("/b", "rate of learning warmup"), page("/c", "warmup")])
        assert [found.url for found in await pages.search("learning warmup")] == ["/b"]
        assert {found.url for found in await pages.search("warmup elephants")} == {"/b", "/c"}


async def test_a_search_may_be_of_one_shelf_and_hold_any_characters(tmp_path: Path) -> None:
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/a", "loss"), page("/b", "loss", shelf="peft")])
        assert [found.url for found in await pages.search('loss" OR * NEAR(', "peft")] == ["/b"]
        assert await pages.search('"*()') == []


async def test_a_page_takes_the_place_of_its_earlier_form(tmp_path: Path) -> None:
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/a", "old words", age=100)])
        assert await pages.fresh("trl", 50) == set()
        await pages.put([page("/a", "new words")])
        assert await pages.fresh("trl", 50) == {"/a"}
        assert await pages.search("old") == []


async def test_what_nobody_fetched_for_long_is_dropped(tmp_path: Path) -> None:
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/a", "x", age=KEPT_SECONDS + 1)])
        assert await pages.get("/a") is None


async def test_a_damaged_cache_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    async with open_pages(tmp_path) as pages:
        await pages.put([page("/a", "x")])
        assert await pages.search("x")
