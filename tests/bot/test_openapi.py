"""The OpenAPI document, and the server held against it.

schemathesis makes requests from the document, good and bad ones, sends them to a running
server and compares what comes back with what the document says.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from bot.openapi import document
from bot.rest import PREFIX, Operation
from bot.rest_all import ALL
from store.content import NewFaq
from tests.bot.api_world import ApiWorld, api

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,missing_required_header,"
    "unsupported_method,allow_header_conformance,ignored_auth,negative_data_rejection"
)


async def drive(world: ApiWorld, *options: str) -> tuple[int, str]:
    """One run of schemathesis against the world: its exit code and what it says."""
    key = await world.key()
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{world.base}{PREFIX}/openapi.json",
        *("-H", f"Authorization: Bearer {key}"),
        *("--checks", CHECKS),
        "--generation-deterministic",
        *("--no-color", "--warnings", "off", "--continue-on-failure"),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode("utf-8", "replace")

async def test_x(tmp_path: Path) -> None:
    async with api(tmp_path) as world:
        code, said = await drive(world, "--phases", "coverage,fuzzing", "--max-examples", "5")
        print(said)
        print(world.watch.requests)
        assert code == 0
