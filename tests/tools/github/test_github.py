"""github: ranked example scripts, files by line, notebooks as markdown, and GitHub's errors in one line."""

from collections.abc import Iterator

import pytest

from tests.fakes.github import TOKEN, GitHub, notebook
from tests.fakes.website import Website
from tests.tools.web.conftest import Reader

TRL = "huggingface/trl"
SCRIPT = "".join(f"line {n}\n" for n in range(1, 41)).encode()


@pytest.fixture(scope="module")
def one_github() -> Iterator[GitHub]:
    with GitHub() as github:
        yield github


@pytest.fixture
def github(one_github: GitHub, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> GitHub:
    monkeypatch.setenv("GITHUB_API_URL", one_github.url)
    one_github.clear()
    one_github.files[TRL] = {
        "examples/scripts/grpo_vlm.py": SCRIPT,
        "examples/scripts/sft.py": SCRIPT,
        "trl/trainer/grpo_trainer.py": SCRIPT,
        "tests/test_grpo_trainer.py": SCRIPT,
        "examples/notebooks/grpo.ipynb": notebook(),
        "setup.py": b"",
        "README.md": b"# TRL",
        "logo.png": b"\x89PNG\0",
    }
    one_github.stars = {TRL: 100}
    return one_github


async def test_example_scripts_are_ranked(reader: Reader, github: GitHub) -> None:
    lines = (await reader.run("github", operation="examples", repository=TRL, query="grpo")).text.splitlines()[1:-1]
    assert lines[0] in ("examples/scripts/grpo_vlm.py", "examples/notebooks/grpo.ipynb")
    assert "trl/trainer/grpo_trainer.py" in lines
    assert "examples/scripts/sft.py" not in lines
    every = (await reader.run("github", operation="examples", repository=TRL)).text
    assert "sft.py" in every
    assert "setup.py" not in every
    assert "test_grpo" not in every


async def test_a_file_is_read_by_lines_with_its_address(reader: Reader, github: GitHub) -> None:
    args = {"repository": TRL, "path": "examples/scripts/sft.py", "first_line": 3, "last_line": 4}
    result = await reader.run("github", operation="read", **args)
    assert "     3\tline 3\n     4\tline 4\n[lines 3 to 4 of 40]" in result.text
    assert result.taint == (f"https://github.com/{TRL}/blob/HEAD/examples/scripts/sft.py",)


async def test_an_address_names_file_ref_and_lines(reader: Reader, github: GitHub) -> None:
    url = f"https://github.com/{TRL}/blob/v1.0/examples/scripts/sft.py#L7-L8"
    text = (await reader.run("github", operation="read", repository=url)).text
    assert "     7\tline 7\n     8\tline 8\n[" in text
    assert "ref=v1.0" in github.seen[-1].query


async def test_a_folder_is_listed_and_a_large_file_read_by_its_blob(reader: Reader, github: GitHub) -> None:
    assert "examples/" in (await reader.run("github", operation="read", repository=TRL)).text
    github.files[TRL]["big.py"] = b"# start\n" + b"x = 1\n" * 300_000
    text = (await reader.run("github", operation="read", repository=TRL, path="big.py", last_line=2)).text
    assert "# start" in text


async def test_a_notebook_is_returned_as_markdown(reader: Reader, github: GitHub) -> None:
    github.files[TRL]["n.ipynb"] = notebook(
        {"cell_type": "markdown", "source": ["# Title\n", "words"]},
        {
            "cell_type": "code",
            "source": "train(lr=1e-5)",
            "outputs": [
                {"output_type": "stream", "text": [f"step {n}\n" for n in range(30)]},
                {"output_type": "display_data", "data": {"image/png": "AAAA"}},
                {"output_type": "error", "ename": "ValueError", "evalue": "no"},
            ],
        },
    )
    text = (await reader.run("github", operation="read", repository=TRL, path="n.ipynb")).text
    for part in ("# Title", "```python", "train(lr=1e-5)", "step 0", "[16 more lines]"):
        assert part in text
    assert "AAAA" not in text
    github.files[TRL]["n.ipynb"] = b"{broken"
    broken = await reader.run("github", operation="read", repository=TRL, path="n.ipynb")
    assert "not a readable notebook" in broken.text


async def test_code_search_without_a_token_reports_that_it_needs_one(
    reader: Reader, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = await reader.run("github", operation="search_code", query="line")
    assert "requires GITHUB_TOKEN" in missing.text
    assert github.seen == []
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    found = await reader.run("github", operation="search_code", query="TRL", repository=TRL)
    assert f"{TRL}: README.md" in found.text
    assert "| # TRL" in found.text
    assert len(github.seen) == 1


async def test_repositories_are_sorted_by_github_not_by_order_of_arrival(reader: Reader, github: GitHub) -> None:
    for number in range(60):
        github.files[f"huggingface/r{number}"] = {}
        github.stars[f"huggingface/r{number}"] = number
    text = (await reader.run("github", operation="repositories", owner="huggingface", limit=3)).text
    assert [line.split()[0] for line in text.splitlines()[1:-1]] == [TRL, "huggingface/r59", "huggingface/r58"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"operation": "read", "repository": "nobody/nothing", "path": "a"}, "GitHub has no nobody/nothing/a"),
        ({"operation": "read", "repository": TRL, "path": "no.py"}, "check owner, name, path and ref"),
        (
            {"operation": "read", "repository": TRL, "path": "README.md", "ref": "no-such-ref"},
            "GITHUB_TOKEN is not set",
        ),
        ({"operation": "read", "repository": TRL, "path": "logo.png"}, "logo.png is binary"),
        ({"operation": "read", "repository": TRL, "path": "README.md", "first_line": 99}, "has 1 line;"),
        ({"operation": "examples", "repository": "a/empty"}, "is empty"),
        ({"operation": "examples", "repository": TRL, "query": "quantum chromodynamics"}, "no example scripts"),
        ({"operation": "read", "repository": "https://gitlab.com/a/b", "path": "x"}, "not a GitHub address"),
        ({"operation": "read", "repository": "../../user"}, "is not a repository"),
        ({"operation": "read"}, "needs a repository"),
    ],
)
async def test_missing_content_is_reported_with_the_remedy(
    reader: Reader, github: GitHub, args: dict[str, str], expected: str
) -> None:
    github.files["a/empty"] = {}
    assert expected in (await reader.run("github", **args)).text


@pytest.mark.parametrize(
    ("status", "expected"),
    [(403, "in 30 min; GITHUB_TOKEN raises"), (429, "in 30 min"), (500, "GitHub failed (500)"), (451, "rejected")],
)
async def test_githubs_limits_and_errors_are_reported_at_once(
    reader: Reader, github: GitHub, status: int, expected: str
) -> None:
    github.status = status
    assert expected in (await reader.run("github", operation="read", repository=TRL, path="README.md")).text
    assert len(github.seen) == 1


async def test_a_wrong_token_is_reported(reader: Reader, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "wrong")
    assert "rejected GITHUB_TOKEN" in (await reader.run("github", operation="examples", repository=TRL)).text


async def test_the_token_goes_only_to_github(
    reader: Reader, github: GitHub, site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("HF_TOKEN", "hf_notForGitHub00000000000000000000")
    await reader.run("github", operation="read", repository=TRL, path="README.md")
    assert github.secrets == {f"token {TOKEN}"}
    github.elsewhere = f"{site.url}/article"
    result = await reader.run("github", operation="read", repository=TRL, path="README.md")
    assert not result.ok
    assert site.seen == []
