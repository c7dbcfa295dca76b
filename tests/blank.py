"""An empty database at once: made once for a worker, then copied.

Making the tables takes a tenth of a second, copying the file a thousandth, and most tests want
a store of their own.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from store import dialect, migrate


@functools.cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="zhiqun-blank-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "blank.db"
    conn = dialect.connect(path)
    migrate(conn)
    # Closing folds the write-ahead log into the file.
    conn.close()
    return path


def blank(path: Path) -> Path:
    """Put an empty database, with every table, where there is none yet; gives the path."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_template(), path)
    return path
