#!/usr/bin/env bash
# Sets up all that the tests need on a Debian-like machine, then passes them: ruff, mypy, pytest; then the quick part again on
# the oldest and the newest Python that are at hand.
# Usage: bash tests/run.sh [options of pytest]
set -euo pipefail
cd "$(dirname "$0")/.."

. examples/packages.sh
need_server
need chromium chromium
need git git
fc-list 2>/dev/null | grep -qi cjk || missing="$missing fonts-noto-cjk"
install_missing

# environment FOLDER PYTHON EXTRAS: a virtual environment with the package and what its tests need.
environment() {
    "$1/bin/python" -m pip --version >/dev/null 2>&1 || "$2" -m venv --clear "$1"
    "$1/bin/python" -m pip install -q --disable-pip-version-check -e ".[$3]"
}

# find_python 3.X: the path of that Python, where the machine has it.
find_python() {
    local found
    for found in "$(command -v "python$1" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python3; do
        if [ -x "$found" ] && "$found" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            echo "$found"
            return
        fi
    done
}

# The oldest and the newest Python that are at hand, for the whole run alone.
others=""
if [ $# = 0 ]; then
    ours=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    for version in 3.10 3.13; do
        [ "$version" = "$ours" ] || [ -z "$(find_python "$version")" ] || others="$others $version"
    done
fi

environment .venv python3 test,ray
# While one core looks at the types, the other one sets up.
for version in $others; do environment ".venv-$version" "$(find_python "$version")" test; done &
setting_up=$!
.venv/bin/ruff check
.venv/bin/ruff format --check
.venv/bin/mypy
wait "$setting_up"
# The same examples in each run: what is new is looked for by `pytest` alone.
.venv/bin/python -m pytest --hypothesis-profile=ci "$@"

# All at once: each keeps one core busy.
runs=()
for version in $others; do
    ".venv-$version/bin/python" -m pytest --hypothesis-profile=ci -q -p no:cacheprovider -m 'not server and not browser' \
        >".venv-$version/tests.log" 2>&1 &
    runs+=("$version:$!")
done
failed=0
for run in "${runs[@]}"; do
    wait "${run#*:}" || failed=1
    echo "The quick part on Python ${run%%:*}:"
    tail -n 30 ".venv-${run%%:*}/tests.log"
done
exit $failed
