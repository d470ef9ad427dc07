#!/usr/bin/env bash
# Sets up all that the demo needs on a Debian-like machine, then runs it: `admap demo`.
# Usage: bash examples/demo.sh [options of `admap demo`]
set -euo pipefail
cd "$(dirname "$0")/.."

# Fills `missing` with the Debian packages of the programs that are not there.
missing=""
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need java default-jdk-headless
need javac default-jdk-headless
need mvn maven
need redis-server redis-server
python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')

if [ -n "${missing// /}" ]; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo"
    echo "This machine lacks: $missing" >&2
    echo "They are installed now with apt-get (this asks for your password if you are not root; Ctrl-C stops it)." >&2
    $as_root apt-get update -q >&2
    # shellcheck disable=SC2086  # a list of packages
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >&2
fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "Making the virtual environment .venv" >&2
    python3 -m venv --clear .venv
fi
echo "Installing argilla-admap into .venv" >&2
.venv/bin/python -m pip install -q --disable-pip-version-check -e .
exec .venv/bin/admap demo "$@"
