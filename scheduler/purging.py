"""The nightly purge: each kind of what is kept goes when its time is over.

The times are the operator's, in `[privacy]`; docs/privacy.md says why each is as it is.
"""

from __future__ import annotations

from typing import Protocol

from store import Store

_DAY_S = 86_400.0
_ACCOUNT_S = 400 * _DAY_S
"""The account of noise, of erasures and of what was recommended: a year, and some. Longer than any
budget's window."""
_REPORT_S = 14 * _DAY_S
"""A report that no night brought up to date: of a group that is left, a community that ended."""


class Settings(Protocol):
    """How many days each kind is kept; 0: for ever."""

    @property
    def keep_interactions_days(self) -> int:
        """The log of private messages."""

    @property
    def keep_events_days(self) -> int:
        """What members looked at in the shop."""

    @property
    def keep_readings_days(self) -> int:
        """Moods and words of messages, and what operators said of them."""

    @property
    def keep_alerts_days(self) -> int:
        """What operators were alerted to."""


async def purge(store: Store, settings: Settings, now: float) -> str:
    """Remove what is older than it may be; "" when nothing was."""
    gone: dict[str, int] = {}
    if settings.keep_interactions_days:
        before = now - settings.keep_interactions_days * _DAY_S
        gone["interactions"] = await store.purging.remove_log(before)
    if settings.keep_events_days:
        before = now - settings.keep_events_days * _DAY_S
        gone["events"] = await store.purging.remove("events", before)
    before = now - settings.keep_readings_days * _DAY_S
    gone["readings"] = await store.readings.remove(before)
    gone["mood labels"] = await store.mood_labels.remove(before)
    gone["alerts"] = await store.alerts.remove(now - settings.keep_alerts_days * _DAY_S)
    gone["reports"] = await store.purging.remove("reports", now - _REPORT_S)
    gone["profiles"] = await store.consents.keep_to_rule()
    gone["lists"] = await store.recommendations.remove(now - _ACCOUNT_S)
    gone["letters"] = await store.rec_digests.remove(now - _ACCOUNT_S)
    for table in ("noise_spent", "erasures"):
        gone[table] = await store.purging.remove(table, now - _ACCOUNT_S)
    told = ", ".join(f"{count} {kind}" for kind, count in gone.items() if count)
    return f"{told} forgotten" if told else ""
