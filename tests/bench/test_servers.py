"""Servers under test: configured rightly, weighed whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import servers
from bench.load import Account
from bot.config import load


def test_our_configuration_for_the_bench_is_one_the_service_accepts(tmp_path: Path) -> None:
    server = servers.ours(tmp_path, None, Account())
    settings = load(Path(server.command[-1]), {**os.environ, **server.env})
    assert settings.server.port == server.port


def test_a_peer_that_is_not_installed_is_named_not_started() -> None:
    assert servers.Peer("x", "bench.peers.x", ("no_such_module_here", "json")).missing() == [
        "no_such_module_here"
    ]


def test_the_cpu_of_a_child_counts_for_its_parent() -> None:
    spin = "sum(i * i for i in range(3_000_000))"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}]); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        if servers.cpu_s(process.pid) is None:
            pytest.skip("this machine has no /proc")
        while not (servers.cpu_s(process.pid) or 0.0) > 0.05:
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.communicate(b"\n")
