"""Posts into groups: planned once, in order, never too fast, and what is known of their end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from store import Store, personal
from store.dialect import Connection
from store.posts import (
    Claimed,
    NewPost,
    Post,
    PostArticle,
    post_from_json,
    post_to_json,
)
from tests.store.rows import NOW, change_file, key

QUN = {"qun": 3}
PLACE = "qun:1"


def new(number: int, text: str = "", **fields: Any) -> NewPost:
    """Post `number` for the group, due now."""
    plain: dict[str, Any] = {
        "key": key(number),
        "channel": "qun",
        "place": PLACE,
        "kind": "notice",
        "body": Post("text", text or f"第 {number} 条"),
        "due_at": NOW,
    }
    return NewPost(**{**plain, **fields})


async def plan(store: Store, *news: NewPost) -> None:
    for one in news:
        assert await store.posts.plan(one, NOW)


async def claim(store: Store, now: float = NOW, paces: dict[str, int] = QUN) -> list[Claimed]:
    return await store.posts.claim(now, paces)


async def post(store: Store, now: float, ended: float | None = None) -> int | None:
    """One whole call; the id of what was posted, None when nothing might be."""
    claimed = await claim(store, now)
    if not claimed:
        return None
    await store.posts.settle(claimed[0].id, "sent", now if ended is None else ended)
    return claimed[0].id


async def statuses(store: Store) -> dict[int, tuple[str, str]]:
    """Status and body by number."""

    def run(conn: Connection) -> dict[int, tuple[str, str]]:
        rows = conn.execute("select id, status, body from posts")
        return {row[0]: (row[1], row[2]) for row in rows}

    return await store.db.read(run)


@pytest.mark.parametrize(
    "body",
    [
        Post("text", "今晚 8 点", mentions=("lisi", "@all", "tel:13800000000")),
        Post("news", articles=(PostArticle("活动", "满减", "https://example.com", "https://p"),)),
        Post("image", asset_id=7),
        Post("card", card={"card_type": "text_notice", "main_title": {"title": "到期"}}),
        Post("text", "答", quote="m1"),
        Post("markdown"),
    ],
)
def test_a_post_comes_out_of_the_file_as_it_went_in(body: Post) -> None:
    assert post_from_json(post_to_json(body)) == body


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"kind":"voice"}', '{"kind":"news","articles":[{"name":1}]}']
)
def test_what_is_no_post_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own errors are ValueErrors, too
        post_from_json(text)


async def test_the_same_key_is_planned_once(store: Store) -> None:
    assert await store.posts.plan(new(1), NOW)
    assert not await store.posts.plan(new(1, "anders"), NOW)
    claimed = await claim(store)
    assert [post_from_json(one.body).content for one in claimed] == ["第 1 条"]


async def test_a_post_can_be_planned_in_the_transaction_of_what_it_tells(store: Store) -> None:
    def fails(conn: Connection) -> None:
        store.posts.plan_in(conn, new(1), NOW)
        raise ValueError("no prize after all")

    with pytest.raises(ValueError, match="no prize"):
        await store.db.write(fails)
    assert await store.posts.counts() == {}


async def test_a_channel_posts_one_at_a_time_in_the_order_of_planning(store: Store) -> None:
    await plan(store, new(1), new(2), new(3, channel="other", place="other:9"))
    both = {"qun": 20, "other": 20}
    first = await claim(store, paces=both)
    assert [(one.id, one.channel) for one in first] == [(1, "qun"), (3, "other")]
    assert await claim(store, paces=both) == []
    await store.posts.settle(1, "sent", NOW)
    assert [one.id for one in await claim(store, paces=both)] == [2]


async def test_the_oldest_goes_first_when_only_some_may(store: Store) -> None:
    await plan(store, new(1, channel="b"), new(2, channel="a"))
    claimed = await store.posts.claim(NOW, {"a": 1, "b": 1}, limit=1)
    assert [one.id for one in claimed] == [1]


async def test_a_channel_that_is_not_served_keeps_its_posts(store: Store) -> None:
    await plan(store, new(1, channel="gone"))
    assert await claim(store) == []
    assert await store.posts.next_due(NOW, QUN) is None
    assert await store.posts.counts() == {"planned": 1}


async def test_tomorrows_post_does_not_hold_up_todays(store: Store) -> None:
    await plan(store, new(1, due_at=NOW + 86_400), new(2))
    assert [one.id for one in await claim(store)] == [2]


async def test_the_minute_is_counted_from_the_end_of_the_call(store: Store) -> None:
    await plan(store, *(new(number) for number in range(1, 6)))
    for at in (NOW, NOW + 1, NOW + 2):
        # Each call takes half a second, and may have been posted at its very end.
        assert await post(store, at, at + 0.5)
    assert await post(store, NOW + 3) is None
    assert await store.posts.next_due(NOW + 3, QUN) == NOW + 60.5
    assert await post(store, NOW + 60.49) is None
    assert await post(store, NOW + 60.5) == 4
    assert await post(store, NOW + 60.5) is None
    assert await post(store, NOW + 61.5) == 5


async def test_what_is_unknown_or_refused_counts_as_posted(store: Store) -> None:
    await plan(store, *(new(number) for number in range(1, 5)))
    for status in ("sent", "unknown", "refused"):
        (claimed,) = await claim(store)
        await store.posts.settle(claimed.id, status, NOW, errcode=93000, note="why")
    assert await claim(store) == []
    assert [one.status for one in await store.posts.listed()] == ["refused", "unknown"]


async def test_a_second_process_counts_the_same_minute(store: Store) -> None:
    await plan(store, *(new(number) for number in range(1, 5)))
    other = Store(store.db.path, durability="process")
    await other.open()
    try:
        assert await post(store, NOW) == 1
        assert await post(other, NOW) == 2
        assert await post(store, NOW) == 3
        assert await post(other, NOW) is None
        assert await post(store, NOW) is None
    finally:
        await other.close()


async def test_the_minute_holds_through_a_clock_that_is_set_back(store: Store) -> None:
    await plan(store, *(new(number) for number in range(1, 6)))
    for _ in range(3):
        assert await post(store, NOW)
    back = NOW - 3600
    # due_at of what is left is the old clock's, too.
    change_file(store.db.path, "update posts set due_at = 0 where status = 'planned'")
    assert await post(store, back) is None
    assert await post(store, back + 59.9) is None
    assert await post(store, back + 60) == 4


async def test_a_post_that_was_put_off_does_not_wait_for_a_clock_that_is_gone(
    store: Store,
) -> None:
    await plan(store, new(1))
    await claim(store)
    await store.posts.put_off(1, NOW, 60, errcode=45009, note="too fast", close=True)
    back = NOW - 3600
    assert [one.id for one in await claim(store, back)] == [1]


async def test_what_was_put_off_keeps_its_place(store: Store) -> None:
    await plan(store, new(1), new(2))
    (claimed,) = await claim(store)
    await store.posts.put_off(claimed.id, NOW, 4.0, errcode=-1, note="busy")
    assert await claim(store) == []
    assert await store.posts.next_due(NOW, QUN) == NOW + 4
    (again,) = await claim(store, NOW + 4)
    assert (again.id, again.tries, again.errcode) == (1, 1, -1)
    await store.posts.settle(1, "refused", NOW + 4, errcode=40058, note="too long")
    assert [one.id for one in await claim(store, NOW + 4)] == [2]


async def test_a_closed_channel_rests_all_of_it_for_ten_minutes_at_most(store: Store) -> None:
    await plan(store, new(1), new(2, due_at=NOW + 1))
    await claim(store)
    await store.posts.put_off(1, NOW, 99_999.0, errcode=45009, note="too fast", close=True)
    # Somebody takes the first one back: the second one still has to wait.
    assert await store.posts.drop(NOW, ids=[1]) == 1
    assert await store.posts.next_due(NOW, QUN) == NOW + 600
    assert await claim(store, NOW + 599.9) == []
    assert [one.id for one in await claim(store, NOW + 600)] == [2]


async def test_what_came_too_late_expires(store: Store) -> None:
    await plan(store, new(1, not_after=NOW + 10), new(2, not_after=NOW + 30))
    assert [one.id for one in await claim(store, NOW + 11)] == [2]
    assert {n: one[0] for n, one in (await statuses(store)).items()} == {
        1: "expired",
        2: "sending",
    }


async def test_the_text_goes_with_the_end_whatever_it_was(store: Store) -> None:
    await plan(store, new(1), new(2))
    await claim(store)
    await store.posts.settle(1, "sent", NOW, message_id="m7")
    await claim(store)
    await store.posts.settle(2, "refused", NOW)
    assert await statuses(store) == {
        1: ("sent", ""),
        2: ("refused", ""),
    }


async def test_a_call_without_an_end_is_unknown_and_never_made_again(store: Store) -> None:
    await plan(store, new(1), new(2))
    await claim(store)
    assert await store.posts.recover(NOW + 5) == 1
    assert await store.posts.recover(NOW + 5) == 0
    assert [one.id for one in await claim(store, NOW + 5)] == [2]
    assert [(one.id, one.status) for one in await store.posts.listed()] == [(1, "unknown")]


@pytest.mark.parametrize("end", ["sent", "put_off"])
async def test_who_made_the_call_knows_better_than_who_found_it_open(
    store: Store, end: str
) -> None:
    await plan(store, new(1))
    await claim(store)
    await store.posts.recover(NOW)
    if end == "sent":
        await store.posts.settle(1, "sent", NOW)
        assert await store.posts.counts() == {"sent": 1}
    else:
        await store.posts.put_off(1, NOW, 0.0)
        assert [one.id for one in await claim(store)] == [1]


async def test_an_end_is_written_once(store: Store) -> None:
    await plan(store, new(1))
    await claim(store)
    await store.posts.settle(1, "sent", NOW)
    await store.posts.settle(1, "refused", NOW)
    await store.posts.put_off(1, NOW, 0.0)
    assert await store.posts.counts() == {"sent": 1}
    assert await claim(store, NOW + 99) == []


async def test_planned_posts_can_be_taken_back(store: Store) -> None:
    await plan(
        store,
        new(1),
        new(2, kind="digest"),
        new(3, kind="digest", place="qun:2"),
        new(4, campaign_id=8, kind="campaign"),
        new(5),
    )
    await claim(store)
    assert await store.posts.drop(NOW, place=PLACE, kind="digest") == 1
    assert await store.posts.drop(NOW, campaign_id=8) == 1
    assert await store.posts.drop(NOW, ids=[1, 5, 99]) == 1
    assert await store.posts.drop(NOW, ids=[3], place=PLACE) == 0
    assert await store.posts.counts() == {"sending": 1, "dropped": 3, "planned": 1}
    with pytest.raises(ValueError, match="which"):
        await store.posts.drop(NOW)


async def test_a_campaign_counts_its_posts(store: Store) -> None:
    await campaign(store, 8, "running")
    await plan(store, new(1, campaign_id=8, variant="A"), new(2, campaign_id=8, variant="B"))
    await post(store, NOW)
    assert await store.posts.of_campaign(8) == {("A", "sent"): 1, ("B", "planned"): 1}
    assert await store.posts.of_campaign(9) == {}


async def campaign(store: Store, number: int, status: str) -> None:
    """A campaign that somebody made."""

    def run(conn: Connection) -> None:
        conn.execute("update campaigns set status = ? where id = ?", (status, number))
        conn.execute(
            "insert into campaigns (id, title, channel, audience, routes, status, window_s, seed, "
            "created_at, created_by) values (?, '上新', 'mp', '', 'group', ?, 60, ?, 0, 'cli') "
            "on conflict (id) do nothing",
            (number, status, bytes(16)),
        )

    await store.db.write(run)


@pytest.mark.parametrize("status", ["paused", "late", "cancelled", "done", "draft"])
async def test_only_a_running_campaign_is_posted_and_holds_nothing_up(
    store: Store, status: str
) -> None:
    await campaign(store, 8, status)
    await plan(store, new(1, campaign_id=8), new(2))
    (other,) = await claim(store)
    assert other.id == 2
    await store.posts.settle(other.id, "sent", NOW)
    assert await claim(store) == []
    assert await store.posts.next_due(NOW, QUN) is None, "nobody looks for it in vain"
    await campaign(store, 8, "running")
    (theirs,) = await claim(store)
    assert theirs.id == 1


async def test_a_paused_campaign_that_was_put_off_lets_the_others_by(store: Store) -> None:
    await campaign(store, 8, "running")
    await plan(store, new(1, campaign_id=8), new(2))
    (theirs,) = await claim(store)
    await store.posts.put_off(theirs.id, NOW, 1.0)
    await campaign(store, 8, "paused")
    (other,) = await claim(store, NOW + 2)
    assert other.id == 2


async def test_a_campaigns_posts_are_kept_for_its_report(store: Store) -> None:
    await campaign(store, 8, "running")
    await plan(store, new(1, campaign_id=8))
    await post(store, NOW)
    assert await store.posts.purge(NOW + 9e9) == 0


async def test_old_ends_are_forgotten_and_open_posts_never(store: Store) -> None:
    await plan(store, new(1), new(2), new(3, not_after=NOW + 1), new(4, due_at=NOW + 9e9))
    await post(store, NOW)
    await claim(store, NOW + 5)
    assert await store.posts.purge(NOW + 86_400) == 2
    assert await store.posts.counts() == {"sending": 1, "planned": 1}


async def test_a_forgotten_member_is_not_posted_about(store: Store) -> None:
    lin = (await store.members.meet("qun", "lin", NOW)).id
    mei = (await store.members.meet("qun", "mei", NOW)).id
    about = [new(number, "小林中奖了", member_id=lin) for number in range(1, 6)]
    await plan(store, *about, new(6, member_id=mei))
    for status in ("unknown", "refused"):
        (claimed,) = await claim(store, paces={"qun": 20})
        await store.posts.settle(claimed.id, status, NOW)
    (under_way,) = await claim(store, paces={"qun": 20})
    kept = await store.db.read(lambda conn: personal.told(conn, lin))
    assert kept is not None
    assert [row["status"] for row in kept["posts"]] == [
        *("unknown", "refused", "sending", "planned", "planned"),
    ]
    assert kept["posts"][0]["body"] == ""
    assert "小林中奖了" in kept["posts"][3]["body"]

    await store.members.erase(lin, NOW)
    now_there = await statuses(store)
    assert [now_there[number] for number in range(1, 6)] == [
        *(("unknown", ""), ("refused", ""), ("sending", ""), ("dropped", ""), ("dropped", "")),
    ]
    assert now_there[6][0] == "planned"
    # The call under way never left: there is nothing to try again.
    await store.posts.put_off(under_way.id, NOW, 0.0)
    assert (await statuses(store))[under_way.id] == ("dropped", "")


async def test_one_person_on_two_channels_is_one_in_posts(store: Store) -> None:
    lin = (await store.members.meet("qun", "lin", NOW)).id
    same = (await store.members.meet("mp", "o_lin", NOW)).id
    await plan(store, replace(new(1), member_id=same))
    await store.db.write(lambda conn: personal.merge(conn, lin, same))
    kept = await store.db.read(lambda conn: personal.told(conn, lin))
    assert kept is not None
    assert len(kept["posts"]) == 1
