#!/usr/bin/env bash
# Sets up all that the tests need on a Debian-like machine, then passes them: ruff, mypy, pytest.
# Usage: bash tests/run.sh [options of pytest]
set -euo pipefail
cd "$(dirname "$0")/.."

missing=""
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need java default-jdk-headless
need javac default-jdk-headless
need mvn maven
need redis-server redis-server
need chromium chromium
need git git
python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
fc-list 2>/dev/null | grep -qi cjk || missing="$missing fonts-noto-cjk"
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')

if [ -n "${missing// /}" ]; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo"
    echo "Installing system packages: $missing" >&2
    $as_root apt-get update -q >&2
    # shellcheck disable=SC2086  # a list of packages
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >&2
fi

.venv/bin/python -m pip --version >/dev/null 2>&1 || python3 -m venv --clear .venv
.venv/bin/python -m pip install -q --disable-pip-version-check -e '.[test]'
.venv/bin/ruff check
.venv/bin/ruff format --check
.venv/bin/mypy
.venv/bin/python -m pytest "$@"
