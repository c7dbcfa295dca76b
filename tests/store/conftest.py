"""A store in a file of its own, open for one test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store import Store
from tests.blank import blank


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store, closed after the test; two of them are two processes to the file."""
    store = Store(blank(tmp_path / "zhiqun.db"), durability="process")
    await store.open()
    yield store
    await store.close()
