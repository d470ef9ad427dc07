"""The tests of this folder on each version of Argilla: ``python -m tests.unpatched [VERSION ...]``.

Each version is fetched from PyPI into an environment of its own. PyPI has argilla-server from 2.5.0 on. With
ADMAP_ARGILLA_DATABASE, on that empty PostgreSQL database instead of SQLite (one version at a time).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from tests.bench.results import keep
from tests.doubles.unpatched_server import VERSIONS

_HERE = Path(__file__).parent


def run(version: str) -> dict[str, str]:
    """The outcome of each test on that version: ``passed``, ``failed`` or ``skipped``."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = ["-n", "0", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}", str(_HERE)]
        subprocess.run(
            [sys.executable, "-m", "pytest", *words], env={**os.environ, "ADMAP_ARGILLA_VERSION": version}, check=False
        )
        if not report.exists():
            return {"start": "failed"}
        cases = ElementTree.parse(report).getroot().iter("testcase")
        return {case.attrib["name"]: _outcome(case) for case in cases}


def _outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def main(versions: list[str]) -> int:
    """Runs each version, prints a table, keeps it; 1 where anything failed."""
    found = {}
    for version in versions or VERSIONS:
        print(f"--- argilla-server {version}", flush=True)
        found[version] = run(version)
    names = sorted({name for outcomes in found.values() for name in outcomes})
    for name in names:
        print("  ".join([*(f"{version} {found[version].get(name, '-'):7}" for version in found), name.replace("_", " ")]))
    if set(found) >= set(VERSIONS) and "ADMAP_ARGILLA_DATABASE" not in os.environ:
        keep("argilla_versions", {"versions": found})
    return int(any(outcome == "failed" for outcomes in found.values() for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
