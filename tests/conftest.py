"""What every test runs with: cheap log lines, and no work done twice by two workers.

structlog, unconfigured, formats an exception with rich as soon as rich is installed (some
development tool may bring it): every local of every frame, in colour. Below a test runner
that is seconds for one line, on the event loop that the test is timing.
"""

from __future__ import annotations

from typing import Any

import pytest
import structlog

structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)

TOGETHER = (
    "tests/bench/test_faq.py",
    "tests/browser/test_phone_page.py",
    "tests/knowledge/test_calibration.py",
    "tests/proofs/test_hostile.py",
    "tests/test_rooms.py",
)
"""Files around one server, one model or one reading of all sources: a second worker would have to
begin with that once more."""

SLOW = ("tests/browser/", "tests/proofs/")
"""Begun first, so that no worker is left alone with them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow folders first; otherwise the order stays."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out one test at a time, and those of a file in `TOGETHER` as one."""
    from xdist.scheduler import LoadScopeScheduling

    class OneByOne(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file in TOGETHER else nodeid

    return OneByOne(config, log)
