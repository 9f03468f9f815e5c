"""web_search: several engines without a key; with a key its provider, and the key goes to that provider only."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.search_engines import SearchEngines
from tests.fakes.tls_proxy import TlsProxy
from tests.tools.web.conftest import Reader


@pytest.fixture
def engines() -> Iterator[SearchEngines]:
    with SearchEngines() as engines:
        yield engines


@pytest.fixture
def proxy(engines: SearchEngines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsProxy]:
    with TlsProxy(engines.host, tmp_path) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(proxy.certificate))
        yield proxy


@pytest.mark.parametrize(("variable", "service"), [("BRAVE_API_KEY", "brave_search"), ("TAVILY_API_KEY", "tavily")])
async def test_a_key_chooses_its_provider(
    reader: Reader, engines: SearchEngines, monkeypatch: pytest.MonkeyPatch, variable: str, service: str
) -> None:
    monkeypatch.setenv(variable, engines.key)
    reader.hosts(**{service: engines.url})
    result = await reader.run("web_search", query="lora")
    assert result.ok
    assert "https://example.org/lora" in result.text
    assert result.taint[0].startswith("a web search by ")
    assert len(engines.seen) == 1


@pytest.mark.parametrize(("variable", "service"), [("BRAVE_API_KEY", "brave_search"), ("TAVILY_API_KEY", "tavily")])
async def test_a_wrong_key_is_reported(
    reader: Reader, engines: SearchEngines, monkeypatch: pytest.MonkeyPatch, variable: str, service: str
) -> None:
    monkeypatch.setenv(variable, "wrong")
    reader.hosts(**{service: engines.url})
    result = await reader.run("web_search", query="lora")
    assert "answered 401: the key was rejected" in result.text


async def test_an_empty_result_is_not_an_error(
    reader: Reader, engines: SearchEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAVILY_API_KEY", engines.key)
    reader.hosts(tavily=engines.url)
    result = await reader.run("web_search", query="nothing")
    assert (result.ok, result.taint) == (True, ())
    assert "found nothing" in result.text


async def test_without_a_key_keyless_engines_are_used(reader: Reader, proxy: TlsProxy) -> None:
    result = await reader.run("web_search", query="lora adapters", limit=3)
    assert result.ok, result.text
    assert "https://example.org/lora" in result.text
    assert result.taint == ("a web search by ddgs",)


async def test_unavailable_engines_are_reported_in_one_line(
    reader: Reader, engines: SearchEngines, proxy: TlsProxy
) -> None:
    engines.down = True
    result = await reader.run("web_search", query="lora")
    assert not result.ok or "found nothing" in result.text
    assert "\n" not in result.text
