"""A list that is complete: it goes out, or says why it does not."""

from __future__ import annotations

import dataclasses

import pytest

from store import Store, freezing
from store.campaigns import Campaign, NewCampaign, Variant
from store.leases import CAMPAIGNS
from tests.store.rows import NOW

NEW = NewCampaign(
    title="直播",
    channel="mp",
    audience="active 30d",
    variants=(Variant(content={"kind": "text", "text": "今晚见"}),),
)


@pytest.mark.parametrize(
    ("approved", "planned", "status", "note"),
    [
        (1000, 1000, "running", ""),
        (1000, 1520, "running", ""),
        (1000, 1521, "paused", "grown"),
        (3, 24, "running", ""),
        (3, 25, "paused", "grown"),
        (1000, 0, "done", "nobody"),
    ],
)
async def test_a_list_far_longer_than_what_was_confirmed_asks_first(
    store: Store, approved: int, planned: int, status: str, note: str
) -> None:
    made = await store.campaigns.create(NEW, NOW, "cli")
    hold = await store.leases.take(CAMPAIGNS, "me", NOW, 30.0)
    assert hold is not None
    await store.db.write(
        lambda conn: conn.execute(
            "update campaigns set status = 'freezing', approved = ? where id = ?",
            (approved, made.id),
        )
    )
    ended = await store.db.write(lambda conn: freezing.end(conn, made.id, hold, planned, NOW))
    assert ended is not None
    assert (ended.status, ended.note, ended.planned) == (status, note, planned)
    if note == "grown":
        again = await store.campaigns.resume(made.id, NOW, "cli")
        assert again is not None
        assert again.status == "running", "an operator who looked may let it go"


def test_what_was_never_confirmed_cannot_have_grown() -> None:
    fields = {one.name: None for one in dataclasses.fields(Campaign)}
    campaign = Campaign(**{**fields, "approved": 0})  # type: ignore[arg-type]
    assert not freezing.grown(campaign, 5000)
