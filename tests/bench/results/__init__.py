"""What the benchmarks measured, kept beside them: a JSON file for each, with the day, the machine and the versions."""

from __future__ import annotations

import json
import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def kept(name: str) -> Any:
    """The figures of `name`.json."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["figures"]


def keep(name: str, figures: Any) -> None:
    """Writes `figures` as `name`.json, in the place of what an earlier run kept."""
    measured = {
        "day": datetime.now(timezone.utc).date().isoformat(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),  # at the end of the run; more than the cores means that others worked too
        "python": platform.python_version(),
        "versions": {package: version(package) for package in ("numpy", "scipy", "scikit-learn", "pyarrow")},
        "figures": figures,
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
