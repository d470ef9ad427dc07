"""The wheel holds all that the package needs: it is built, put into an environment of its own, and used there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def run(*words: object, **options: Any) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=environment, timeout=300, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_wheel_holds_every_file_and_makes_a_map_in_an_environment_of_its_own(tmp_path: Path) -> None:
    source = tmp_path / "source"
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "argilla_admap", source / "argilla_admap", ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, source)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("argilla_admap/")}
    files = {str(path.relative_to(source)) for path in (source / "argilla_admap").rglob("*") if path.is_file()}
    assert {path for path in files if not path.endswith(".md")} <= packed
    # The packages that it needs are taken from where the tests run; the package itself is the wheel's.
    home = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    python = home / "bin" / "python"
    run(sys.executable, "-m", "pip", "-q", "--python", python, "install", "--no-deps", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    admap = home / "bin" / "admap"
    assert run(admap, "--version", cwd=tmp_path).startswith("admap, version ")
    where = "import argilla_admap, argilla_admap.example_data as e, sys; e.write_example(__import__('pathlib').Path('.')); "
    assert str(home) in run(python, "-c", f"{where}print(argilla_admap.__file__)", cwd=tmp_path)
    run(admap, "map", "preferences.jsonl", "-o", "map.parquet", cwd=tmp_path)
    run(admap, "report", "map.parquet", "-o", "map.html", cwd=tmp_path)
    assert (tmp_path / "map.html").stat().st_size > 100_000
    assert "admap score" in run(admap, "help", "judges", cwd=tmp_path)
