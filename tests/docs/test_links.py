"""Links and images of README.md and docs/ lead somewhere. The site's own strict mode does not look at images."""

from pathlib import Path

import pytest
import yaml

from tests.docs.pages import DOCS, ROOT, anchors, links, name_of, pages


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_link_and_image_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_every_image_is_shown_and_loads_nothing_from_elsewhere() -> None:
    shown = {(page.parent / link).resolve() for page in pages() for link in links(page.read_text())}
    images = sorted((DOCS / "images").iterdir())
    assert [image.name for image in images if image.resolve() not in shown] == []
    assert [
        image.name for image in images if "@font-face" in image.read_text() or "url(http" in image.read_text()
    ] == []


def test_the_navigation_names_every_page_once() -> None:
    def files(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        inner = entry.values() if isinstance(entry, dict) else entry
        assert not isinstance(inner, int)
        return [name for one in inner for name in files(one)]  # type: ignore[attr-defined]

    named = files(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(named) == sorted(str(page.relative_to(DOCS)) for page in pages() if page.is_relative_to(DOCS))
