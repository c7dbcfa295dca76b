"""What every test runs with: log lines that cost next to nothing.

structlog, unconfigured, formats an exception with rich as soon as rich is installed (some
development tool may bring it): every local of every frame, in colour. Below a test runner
that is seconds for one line, on the event loop that the test is timing.
"""

from __future__ import annotations

import structlog

structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)
