"""The file for a team with Docker: nothing in it is left at a default that lets others in or takes the whole machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

import argilla_admap

FOLDER = Path(__file__).parents[2] / "docker"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_pinned_image_a_limit_of_memory_and_no_new_rights(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+(\.\d+)?$", service["image"])
    assert re.fullmatch(r"\d+g", service["mem_limit"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert "inside" in service["networks"]


def test_only_the_page_is_published_and_on_loopback_only() -> None:
    assert {name: one["ports"] for name, one in SERVICES.items() if "ports" in one} == {"server": ["127.0.0.1:6900:6900"]}
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_only_the_page_itself_may_call_the_api_from_a_browser() -> None:
    given = SERVICES["server"]["environment"]["ARGILLA_CORS_ORIGINS"]
    assert json.loads(re.sub(r"\$\{\w+:-(.*?)\}", r"\1", given)) == ["http://127.0.0.1:6900"]


def test_no_secret_has_a_default() -> None:
    text = json.dumps(SERVICES)
    for name in re.findall(r"\$\{(\w*(?:PASSWORD|KEY)\w*)", text):
        assert f"${{{name}:?make docker/.env first}}" in text


def test_the_image_of_our_own_is_this_version_and_nobody_in_it_is_root() -> None:
    own = SERVICES["admap"]
    assert own["image"] == f"argilla-admap:{argilla_admap.__version__}"
    lines = (FOLDER / own["build"]["dockerfile"].removeprefix("docker/")).read_text(encoding="utf-8").splitlines()
    last = [line for line in lines if line.startswith(("FROM", "USER", "ENTRYPOINT"))][-3:]
    assert last == ["FROM python:3.12-slim", "USER admap", 'ENTRYPOINT ["admap"]']
    assert own["cap_drop"] == ["ALL"]
    # Nothing but what the package is made of goes to the engine: no .env, no data.
    kept = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert kept[:1] == ["*"]
    copied = {word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]}
    assert {word.removeprefix("!") for word in kept if word.startswith("!")} == copied


def test_the_page_about_it_names_services_and_files_that_are_there() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    .*?argilla (?:exec|run|stop|up|pull|build) ?(.*?)(?: [<>]|\)|$)", page, re.MULTILINE)
    words = {word for one in commands for word in one.split() if word.isalpha()}
    assert words >= {"server", "worker", "postgres", "elasticsearch", "redis", "admap"}
    assert words - SERVICES.keys() <= {"python", "reindex", "tar", "doctor", "argilla"}
    for place in re.findall(r"`(tests/[\w/.]+\.py)`", page):
        assert (FOLDER.parent / place).is_file()
