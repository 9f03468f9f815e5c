import ast
from pathlib import Path

import pytest

from ml_intern.configs.env import CREDENTIALS, ENDPOINTS
from ml_intern.configs.providers import MODEL_PROVIDERS, all_providers, first_models, token_hosts

ROOT = Path(__file__).parents[2]
OTHER_FACTS = {
    "sandbox/network_hosts.py": "which hosts a sandboxed command may reach; no key is sent there",
    "tools/docs/docs_library.py": "which hosts serve the Hub's documentation",
    "tools/github/files.py": "how links to a file on GitHub are written",
}
"""Files that list hosts for another reason than where a key may go."""


def shipped() -> list[Path]:
    folders = (path for path in ROOT.iterdir() if path.is_dir() and path.name not in ("tests", "bench", "scripts"))
    return [path for folder in folders if not folder.name.startswith((".", "ml_")) for path in folder.rglob("*.py")]


def strings_in(node: ast.AST) -> set[str]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def tables_of_names(path: Path, names: set[str]) -> list[str]:
    """List the collections in a module that hold names of at least two providers."""
    tables = (ast.Dict, ast.List, ast.Set, ast.Tuple)
    nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, tables)]
    return [ast.unparse(node)[:80] for node in nodes if len(strings_in(node) & names) > 1]


def test_no_other_table_lists_key_variables_or_the_hosts_that_get_a_key() -> None:
    variables = {name for one in all_providers() for name in (*one.key_envs, *one.base_envs, *one.other_envs)}
    hosts = {host for one in all_providers() for host in one.hosts}
    found = {str(path.relative_to(ROOT)): tables_of_names(path, variables | hosts) for path in shipped()}
    second = {name: tables for name, tables in found.items() if tables and name not in OTHER_FACTS}
    assert list(second) == ["configs/providers.py"]


@pytest.mark.parametrize("prefix", MODEL_PROVIDERS)
def test_a_hosted_provider_has_a_title_a_key_and_an_address_to_guard(prefix: str) -> None:
    provider = MODEL_PROVIDERS[prefix]
    assert provider.title
    assert provider.key_envs
    assert provider.hosts or provider.base_envs or provider.ambient


def test_official_urls_lie_within_the_hosts_that_get_the_key() -> None:
    for one in all_providers():
        assert all(any(url.endswith(host) or f"{host}/" in url for host in one.hosts) for url in one.official_urls)


def test_one_variable_has_one_set_of_hosts() -> None:
    hosts: dict[str, set[tuple[str, ...]]] = {}
    for one in all_providers():
        for name in (*one.key_envs, *one.other_envs):
            hosts.setdefault(name, set()).add(one.hosts)
    assert not {name: found for name, found in hosts.items() if len(found) > 1}


def test_the_other_tables_come_from_this_one() -> None:
    assert first_models()["HF_TOKEN"] == "moonshotai/Kimi-K2.6"
    assert next(iter(first_models())) == "ANTHROPIC_API_KEY"
    assert token_hosts()["GH_TOKEN"] == ("github.com", "githubusercontent.com")
    assert {"DEEPSEEK_API_BASE", "HF_ENDPOINT", "LOCAL_LLM_BASE_URL"} <= set(ENDPOINTS)
    assert {"SLACK_CHANNEL_ID", "GITHUB_TOKEN"} <= set(CREDENTIALS)
    assert not set(ENDPOINTS) & set(CREDENTIALS)
