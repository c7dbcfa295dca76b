"""Starting, pinning and weighing the servers under test: ours and the peers.

Everything that knows our command line and configuration stands in `ours()`; everything
that knows Linux's /proc stands in `cpu_s` and `rss_mb`. Both give None elsewhere.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from bench.load import Account
from bench.questions import write_csv

START_S = 30.0
ROOT = Path(__file__).resolve().parent.parent


class StartError(Exception):
    """A server under test did not come up."""


@dataclass(frozen=True)
class Peer:
    """A server that is not ours. needs: modules it imports; module: what is run."""

    name: str
    module: str
    needs: tuple[str, ...]
    seals: bool = True

    def missing(self) -> list[str]:
        """Modules that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("bare", "bench.peers.bare", ("aiohttp", "uvloop"), seals=False),
        Peer("werobot", "bench.peers.werobot_waitress", ("werobot", "waitress")),
        Peer("flask", "bench.peers.flask_gunicorn", ("flask", "gunicorn", "wechatpy")),
        Peer("aiohttp_wechatpy", "bench.peers.aiohttp_wechatpy", ("aiohttp", "wechatpy", "uvloop")),
        Peer("handtuned", "bench.peers.handtuned", ("aiohttp", "uvloop")),
        Peer("handtuned_noframework", "bench.peers.handtuned_noframework", ("aiohttp", "uvloop")),
    )
}
INSTALL = "pip install -e '.[bench]'"


def cores() -> tuple[int, int] | None:
    """(the server's core, the client's); None where pinning or a second core is lacking."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    found = sorted(os.sched_getaffinity(0))
    return (found[0], found[1]) if len(found) > 1 else None


@contextmanager
def pinned_client() -> Iterator[tuple[int, int] | None]:
    """Keep this process on the client's core for a while."""
    pair = cores()
    if pair is None:
        yield None
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {pair[1]})
    try:
        yield pair
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A running server under test. ready_url: asked until 200; "": a TCP accept is enough."""

    name: str
    command: list[str]
    port: int
    log: Path
    core: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    ready_url: str = ""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Run it and wait until it answers; returns the seconds from exec to ready."""
        pin = None
        if self.core is not None:
            # In the child before exec, so that every thread it starts inherits it.
            pin = functools.partial(os.sched_setaffinity, 0, {self.core})
        before = time.perf_counter()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=pin,
            )
        while not self._ready():
            code = self.process.poll()
            if code is not None or time.perf_counter() - before > START_S:
                self.stop()
                why = f"exited with {code}" if code is not None else f"not ready in {START_S:.0f} s"
                raise StartError(f"{self.name} {why}; its log ends: {self.tail()}")
            time.sleep(0.005)
        return time.perf_counter() - before

    def _ready(self) -> bool:
        try:
            if self.ready_url:
                with urllib.request.urlopen(self.ready_url, timeout=1) as answer:
                    return int(answer.status) == 200
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        """End it politely, then not."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tail(self) -> str:
        """The last lines it said, for an error message."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return " | ".join(text.strip().splitlines()[-3:]) or "(nothing)"

    def cpu_s(self) -> float | None:
        """CPU seconds of the process, its threads and its children so far."""
        assert self.process is not None
        return cpu_s(self.process.pid)

    def rss_mb(self) -> float | None:
        """Resident memory of the process in MB (2**20 bytes)."""
        assert self.process is not None
        return rss_mb(self.process.pid)


def cpu_s(pid: int) -> float | None:
    """User and system seconds of a process tree; None without /proc.

    Children that ended count once their parent has waited for them.
    """
    if not Path("/proc/self/stat").exists():
        return None
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            stat = Path(entry.path, "stat").read_text("utf-8", "replace")
        except OSError:  # ended while we looked
            continue
        fields = stat.rpartition(")")[2].split()
        children.setdefault(int(fields[1]), []).append(int(entry.name))
        ticks[int(entry.name)] = sum(int(part) for part in fields[11:15])
    total, queue = 0, [pid]
    while queue:
        current = queue.pop()
        total += ticks.get(current, 0)
        queue += children.get(current, [])
    return total / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float | None:
    """VmRSS of a process in MB (2**20 bytes); None without /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None


def peer(found: Peer, folder: Path, core: int | None) -> Server:
    """A peer, not yet started."""
    port = free_port()
    return Server(
        found.name,
        [sys.executable, "-m", found.module, "--port", str(port)],
        port,
        folder / f"{found.name}.log",
        core,
    )


def ours(folder: Path, core: int | None, account: Account) -> Server:
    """zhiqun in a fresh folder, with its default inbox and interaction log; not yet started.

    Its configuration is written to `folder/bench.toml`. TMPDIR points into the folder,
    so that a first start pays for the dictionary cache as on a fresh machine.
    """
    port, ops_port, api_port = free_port(), free_port(), free_port()
    config = folder / "bench.toml"
    config.write_text(
        f"""\
[server]
bind = "127.0.0.1"
port = {port}
ops_port = {ops_port}
api_port = {api_port}
[store]
path = "{(folder / "bench.db").as_posix()}"
[log]
level = "warning"
[channels.mp]
kind = "official"
account = "service"
verified = true
app_id = "{account.app_id}"
app_secret = "env:BENCH_MP_SECRET"
token = "env:BENCH_MP_TOKEN"
encoding_aes_key = "env:BENCH_MP_AES_KEY"
api_base = "http://127.0.0.1:{free_port()}"
""",
        "utf-8",
    )
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return Server(
        "zhiqun",
        [sys.executable, "-m", "bot", "serve", "--config", str(config)],
        port,
        folder / "zhiqun.log",
        core,
        env={
            "BENCH_MP_SECRET": account.secret,
            "BENCH_MP_TOKEN": account.token,
            "BENCH_MP_AES_KEY": account.encoding_aes_key,
            "TMPDIR": str(scratch),
        },
        ready_url=f"http://127.0.0.1:{ops_port}/readyz",
    )


def import_faq(server: Server, folder: Path) -> int:
    """Give our server, while it is stopped, the 300 entries; returns how many rows."""
    rows = folder / "faq.csv"
    count = write_csv(rows)
    config = server.command[-1]
    run = subprocess.run(
        [sys.executable, "-m", "bot", "import", "faq", str(rows), "--config", config],
        cwd=ROOT,
        env={**os.environ, **server.env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if run.returncode:
        raise StartError(
            f"the FAQ import exited with {run.returncode}: {run.stderr.strip()[-400:]}"
        )
    return count


def machine(folder: Path, pair: tuple[int, int] | None) -> dict[str, object]:
    """What the figures were taken on, as far as it moves them."""
    try:
        loop = f"uvloop {metadata.version('uvloop')}"
    except metadata.PackageNotFoundError:
        loop = "asyncio"
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "server_core": pair[0] if pair else None,
        "client_core": pair[1] if pair else None,
        "pinned": pair is not None,
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "loop": loop,
        "store_on": _filesystem(folder),
    }


def _filesystem(folder: Path) -> str | None:
    """The kind of disk under the store: on tmpfs an fsync costs nothing and proves nothing."""
    try:
        lines = Path("/proc/mounts").read_text("utf-8").splitlines()
    except OSError:
        return None
    best, kind = "", None
    where = folder.resolve()
    for line in lines:
        _, mount, found, *_ = line.split()
        if len(mount) >= len(best) and where.is_relative_to(mount):
            best, kind = mount, found
    return kind
