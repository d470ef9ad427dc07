#!/usr/bin/env bash
# Sets up all that the tests need on a Debian-like machine, then passes them: ruff, mypy, pytest.
# Usage: bash tests/run.sh [options of pytest]
set -euo pipefail
cd "$(dirname "$0")/.."

. examples/packages.sh
need_server
need chromium chromium
need git git
fc-list 2>/dev/null | grep -qi cjk || missing="$missing fonts-noto-cjk"
install_missing

.venv/bin/python -m pip --version >/dev/null 2>&1 || python3 -m venv --clear .venv
.venv/bin/python -m pip install -q --disable-pip-version-check -e '.[test]'
.venv/bin/ruff check
.venv/bin/ruff format --check
.venv/bin/mypy
# The same examples in each run: what is new is looked for by `pytest` alone.
.venv/bin/python -m pytest --hypothesis-profile=ci "$@"
