"""Play the code rules on the idioms of the tests and on real training scripts from the source packages of libraries.

    python -m bench.code_rules                 # downloads the source packages of PACKAGES into a temporary folder
    python -m bench.code_rules FOLDER ...      # measures the scripts in folders that are there already

A source package of scikit-learn is configured by pip before it is saved, which takes minutes and needs a compiler.
"""

import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ml_intern.evidence.code.check import read_code  # noqa: E402  (a script: the checkout first)

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
    """Yield the scripts of each source package that can be downloaded."""
    for name, (version, pattern) in PACKAGES.items():
        command = [
            "uvx",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            name,
            f"{name}=={version}",
            "-d",
            str(folder),
        ]
        if subprocess.run(command, check=False).returncode:
            print(f"{name} {version}: not downloaded")
            continue
        archive = max(folder.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)
        target = folder / name
        with tarfile.open(archive) as packed:
            packed.extractall(target, filter="data")
        scripts = sorted(target.glob(pattern))
        print(f"{name} {version}: {len(scripts)} scripts")
        yield from scripts


def measure(scripts: list[Path]) -> None:
    """Print findings and times."""
    alarmed, fitted, unread = 0, 0, Counter[str]()
    times: list[tuple[float, Path]] = []
    for path in scripts:
        start = time.process_time()
        facts = read_code(path.read_text(errors="replace"), str(path))
        times.append((time.process_time() - start, path))
        fitted += bool(facts.models)
        alarmed += bool(facts.findings)
        unread[facts.not_analysed] += 1
        for one in facts.findings:
            print(f"  {one.text}")
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
