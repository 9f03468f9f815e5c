"""Play the code rules on the idioms of the tests and on real training scripts from the source packages of libraries.

python -m bench.code_rules                 # downloads the source packages of PACKAGES into a temporary folder
python -m bench.code_rules FOLDER ...      # measures the scripts in folders that are there already
"""

import io
import os
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ml_intern.evidence.checks.parsing import nodes_of  # noqa: E402  (a script: the checkout first)
from ml_intern.evidence.code.check import read_code  # noqa: E402
from ml_intern.evidence.code.syntax.labels import best_folds, renamed_metrics  # noqa: E402

PACKAGES: Final = {
    "scikit-learn": ("1.9.1", "*/examples/**/*.py"),
    "imbalanced-learn": ("0.14.2", "*/examples/**/*.py"),
    "trl": ("1.16.0", "*/trl/scripts/*.py"),
}
"""Source packages with their versions, and the scripts in them."""


def idioms() -> None:
    """Print how many of the planted faults are stated, and how many honest twins are left alone."""
    cases = yaml.safe_load((ROOT / "tests/evidence/code/idioms.yaml").read_text())
    found = sum(any(one.rule == case["rule"] for one in read_code(case["fault"], "").findings) for case in cases)
    alarms = sum(bool(read_code(case["twin"], "").findings) for case in cases)
    print(f"idioms: {found} of {len(cases)} faults stated, {alarms} of {len(cases)} twins with a finding")


def download(folder: Path) -> Iterator[Path]:
    """Yield the scripts of each source package."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    for name, (version, pattern) in PACKAGES.items():
        page = httpx.get(f"{index}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
        wanted = {f"{one}-{version}.tar.gz" for one in (name, name.replace("-", "_"))}
        found = next(one for one in page.raise_for_status().json()["files"] if one["filename"] in wanted)
        archive = httpx.get(str(page.url.join(found["url"])), follow_redirects=True, timeout=300).raise_for_status()
        target = folder / name
        with tarfile.open(fileobj=io.BytesIO(archive.content)) as packed:
            packed.extractall(target, filter="data")
        scripts = sorted(target.glob(pattern))
        print(f"{name} {version}: {len(scripts)} scripts")
        yield from scripts


def measure(scripts: list[Path]) -> None:
    """Print findings and times."""
    alarmed, fitted, renamed, unread = 0, 0, 0, Counter[str]()
    times: list[tuple[float, Path]] = []
    for path in scripts:
        start = time.process_time()
        source = path.read_text(errors="replace")
        facts = read_code(source, str(path))
        times.append((time.process_time() - start, path))
        fitted += bool(facts.models)
        alarmed += bool(facts.findings)
        unread[facts.not_analysed] += 1
        lines = [one.line for one in renamed_metrics(nodes_of(source))] + list(best_folds(nodes_of(source)))
        renamed += bool(lines)
        for line in lines:
            print(f"  {path}:{line}: a metric under another name")
        for one in facts.findings:
            print(f"  {one.text}")
    print(f"{renamed} scripts print a metric under another name")
    print(f"{len(scripts)} scripts, {fitted} with models, {alarmed} with findings, not analysed:", end=" ")
    print({reason: count for reason, count in unread.items() if reason})
    print(f"{sum(one for one, _ in times):.1f} s of CPU; longest {max(times)[0] * 1000:.0f} ms: {max(times)[1].name}")


def main() -> None:
    idioms()
    if sys.argv[1:]:
        measure([path for folder in sys.argv[1:] for path in sorted(Path(folder).rglob("*.py"))])
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(list(download(Path(folder))))


if __name__ == "__main__":
    main()
