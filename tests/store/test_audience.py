"""Whom rules find: the SQL against a model in plain Python, and what a page knows of each."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from store import Store, audience, dialect, rule_sql, rules
from store.audience import Person, page
from store.dialect import Connection
from store.rules import And, Everyone, Not, Or, RuleError, Term
from tests.blank import blank

CHANNEL = "mp"
NOW = 1_763_600_000.0
DAY_S = 86_400.0
LEVELS = (0, 100, 500)
TIERS = ("trial", "paid")
MONTH = "2025-11"


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    with closing(dialect.connect(blank(tmp_path / "zhiqun.db"))) as conn:
        conn.execute("pragma foreign_keys = off")
        dialect.begin(conn)
        yield conn


def put(conn: Connection, table: str, **values: Any) -> None:
    """A row with these columns."""
    names, places = ", ".join(values), ", ".join("?" * len(values))
    conn.execute(f"insert into {table} ({names}) values ({places})", tuple(values.values()))


def member(conn: Connection, number: int, *, channel: str = CHANNEL, **identity: Any) -> int:
    """A member who follows on a channel."""
    put(conn, "members", id=number, created_at=NOW)
    put(
        conn,
        "identities",
        **{"channel": channel, "external_id": f"o{number}", "member_id": number, "followed": 1}
        | identity,
    )
    return number


def found(conn: Connection, rule: str, now: float = NOW, **more: Any) -> list[int]:
    """Numbers of the members on the first page."""
    return [one.member_id for one in page(conn, rule, CHANNEL, now, **more)]


# The model


@dataclass
class Event:
    kind: str
    at: float
    item: str
    cents: int = 0
    order: str = ""
    campaign: str = ""


@dataclass
class Model:
    """A member as the rules see one."""

    id: int
    created_at: float
    tier: str
    tier_until: float | None
    seen: list[float]
    follows: list[float | None]
    tags: set[str] = field(default_factory=set)
    topics: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    earned: int | None = None
    balance: int = 0
    invited: int = 0
    did: set[str] = field(default_factory=set)
    scene: str = ""
    coupons: set[str] = field(default_factory=set)
    sent: set[int] = field(default_factory=set)
    state: str = ""
    churn: float | None = None

    def meets(self, rule: rules.Audience) -> bool:
        """What the language says, without SQL."""
        if isinstance(rule, Everyone):
            return True
        if isinstance(rule, And):
            return all(map(self.meets, rule.parts))
        if isinstance(rule, Or):
            return any(map(self.meets, rule.parts))
        if isinstance(rule, Not):
            return not self.meets(rule.part)
        return self.has(rule)

    def has(self, term: Term) -> bool:
        value, ago = term.value, NOW - term.within_s
        plain = {
            "tag": self.tags,
            "topic": self.topics,
            "group": self.groups,
            "did": self.did,
            "scene": {self.scene},
            "coupon": self.coupons,
            "campaign": {str(number) for number in self.sent},
            "member": {str(self.id)},
            "state": {self.state},
        }
        if term.name in plain:
            return value in plain[term.name]
        if term.name in ("active", "quiet"):
            wrote = any(at >= NOW - (term.within_s or 30 * DAY_S) for at in self.seen)
            return wrote is (term.name == "active")
        if term.name == "new":
            return self.created_at >= NOW - (term.within_s or 7 * DAY_S)
        if term.name == "followed":
            return any(not term.within_s or (at or 0) >= ago for at in self.follows)
        if term.name == "tier":
            lapsed = self.tier_until is not None and self.tier_until <= NOW
            if self.tier in TIERS and value in TIERS:
                return not lapsed and TIERS.index(self.tier) >= TIERS.index(value)
            return not lapsed and self.tier == value
        if term.name == "clicked":
            return any(
                one.kind == "click" and value in (one.item, one.campaign)
                for one in self.events
                if not term.within_s or one.at >= ago
            )
        if term.name == "bought":
            return any(
                one.item == value and not self.returned(one)
                for one in self.purchases()
                if not term.within_s or one.at >= ago
            )
        number = {
            "churn": float("nan") if self.churn is None else round(self.churn * 100),
            "level": sum(points <= (self.earned or 0) for points in LEVELS),
            "points": self.balance,
            "spent": self.spent() / 100,
            "orders": self.orders(),
            "invited": self.invited,
        }[term.name]
        wanted = float(value)
        return {
            ">=": number >= wanted,
            "<=": number <= wanted,
            "=": number == wanted,
            ">": number > wanted,
            "<": number < wanted,
        }[term.sign]

    def purchases(self) -> list[Event]:
        return [one for one in self.events if one.kind == "purchase"]

    def refunds(self) -> list[Event]:
        return [one for one in self.events if one.kind == "refund"]

    def returned(self, one: Event) -> bool:
        return any(
            back.item == one.item
            and back.at >= one.at
            and (not back.order or not one.order or back.order == one.order)
            for back in self.refunds()
        )

    def same(self, back: Event) -> list[Event]:
        return [
            one
            for one in self.purchases()
            if (one.order and one.order == back.order) or (one.item and one.item == back.item)
        ]

    def spent(self) -> int:
        paid = sum(one.cents for one in self.purchases())
        for back in self.refunds():
            if same := self.same(back):
                paid -= back.cents or max(one.cents for one in same)
        return paid

    def orders(self) -> int:
        kept = [
            one
            for one in self.purchases()
            if not any(
                one in self.same(back)
                and back.at >= one.at
                and (not back.cents or back.cents >= one.cents)
                for back in self.refunds()
            )
        ]
        return len({one.order or id(one) for one in kept})


def someone(rng: random.Random, number: int) -> Model:
    """A member made up at random."""

    def ago() -> float:
        return NOW - rng.choice((0, 1, 6.9, 7.1, 20, 29, 31, 59, 61)) * DAY_S

    one = Model(
        number,
        ago(),
        rng.choice(("", "trial", "paid", "old")),
        rng.choice((None, NOW, NOW + 1)),
        [ago() for _ in range(rng.randint(1, 2))],
        [rng.choice((None, ago())) for _ in range(rng.randint(0, 1))],
    )
    one.tags = {tag for tag in ("a", "b", "老 学员") if rng.random() < 0.5}
    one.topics = {topic for topic in ("新课", "直播") if rng.random() < 0.4}
    one.groups = {place for place in ("vip", "all") if rng.random() < 0.4}
    one.did = {did for did in rules.DID if rng.random() < 0.4}
    one.invited = rng.randint(1, 3) if "invite" in one.did else 0
    one.scene = rng.choice(("", "r:42", "shop"))
    one.coupons = {word for word in ("早鸟", "sale") if rng.random() < 0.4}
    one.sent = {campaign for campaign in (1, 2) if rng.random() < 0.4}
    one.state = rng.choice(("", "leaving", "core", "lost"))
    one.churn = rng.choice((None, 0.0, 0.298, 0.5, 0.6, 1.0)) if one.state else None
    if rng.random() < 0.8:
        one.earned = rng.choice((0, 99, 100, 499, 500, 900))
        one.balance = rng.choice((0, 5, 50))
    for _ in range(rng.randint(0, 6)):
        kind = rng.choice(("purchase", "purchase", "refund", "click", "view"))
        one.events.append(
            Event(
                kind,
                ago(),
                rng.choice(("py", "js", "")),
                rng.choice((0, 500, 9950)) if kind != "click" else 0,
                rng.choice(("", "A", "B")),
                rng.choice(("", "c7")) if kind == "click" else "",
            )
        )
    return one


def keep(conn: Connection, one: Model) -> None:
    """Write a made-up member down."""
    who = one.id
    put(
        conn,
        "members",
        id=who,
        created_at=one.created_at,
        tier=one.tier,
        tier_until=one.tier_until,
    )
    for place, at in enumerate(one.seen):
        follows = place < len(one.follows)
        put(
            conn,
            "identities",
            channel=(CHANNEL, "other")[place],
            external_id=f"o{who}",
            member_id=who,
            followed=follows,
            followed_at=one.follows[place] if follows else NOW,
            last_seen_at=at,
        )
    for tag in one.tags:
        put(conn, "member_tags", member_id=who, tag=tag, since=0)
    for topic in one.topics:
        put(conn, "subscriptions", member_id=who, topic=topic, since=0)
    for place_name in ("vip", "all"):
        left = None if place_name in one.groups else NOW
        put(conn, "group_members", place=place_name, member_id=who, since=0, left_at=left)
    if one.earned is not None:
        values = {"balance": one.balance, "earned": one.earned}
        put(conn, "point_accounts", member_id=who, updated_at=0, **values)
    for number, event in enumerate(one.events):
        put(
            conn,
            "events",
            event_id=f"{who}-{number}",
            kind=event.kind,
            at=event.at,
            received_at=0,
            member_id=who,
            item_id=event.item,
            amount_cents=event.cents,
            order_id=event.order,
            campaign=event.campaign,
        )
    if one.state:
        zeros = "first_at last_at acts active_days days28 questions spent_cents orders progress"
        blank_row = dict.fromkeys(f"{zeros} updated_at last_day data".split(), 0)
        put(conn, "member_features", member_id=who, state=one.state, churn=one.churn, **blank_row)
    if "checkin" in one.did:
        put(conn, "checkins", member_id=who, day="2025-01-01", streak=1, points=5, at=0)
    if "homework" in one.did:
        put(conn, "homework", member_id=who, item_id="i", chapter_id="1", text="x", submitted_at=0)
    done = NOW if "quiz" in one.did else None
    row: dict[str, Any] = {"quiz_id": 1, "started_at": 0, "position": 1, "asked_at": 0}
    put(conn, "quiz_attempts", member_id=who, finished_at=done, **row)
    for number in range(3):
        status = "credited" if number < one.invited else "refused"
        fingerprint = f"{who}-{number}".encode()
        friend = {"channel": CHANNEL, "at": 0, "status": status}
        put(conn, "referrals", inviter_id=who, fingerprint=fingerprint, **friend)
    row = {"at": 0, "channel": CHANNEL, "kind": "event", "text": "", "handler": ""}
    put(conn, "interactions", member_id=who, item=f"scene:{one.scene}" if one.scene else "", **row)
    for offer, word in enumerate(("早鸟", "sale"), 1):
        usable = word in one.coupons
        put(
            conn,
            "coupons",
            offer_id=offer,
            code=f"{who}-{offer}",
            status=("claimed", "redeemed")[not usable and who % 2],
            member_id=who,
            created_at=0,
            expires_at=NOW + 1 if usable else NOW,
        )
    for campaign in (1, 2):
        # The second repeats: 3 is one time of it.
        status = "accepted" if campaign in one.sent else "unknown"
        put(
            conn,
            "deliveries",
            campaign_id=(0, 1, 3)[campaign],
            member_id=who,
            status=status,
        )


_LEAVES = (
    "active active|2d quiet|61d new new|30d followed followed|30d tag:a tag:b tag:'老_学员' "
    "topic:新课 group:vip bought:py bought:js|30d clicked:py clicked:c7|30d did:checkin "
    "did:homework did:quiz did:invite level>=2 level<=1 level=1 level>2 level<2 level=0 level>=4 "
    "points>=5 points=0 points<50 spent>=99.50 spent>0 spent<=5 spent=0 orders>=1 orders=2 "
    "orders<1 invited>=2 invited=0 tier:trial tier:paid tier:old topic:直播 scene:r:42 "
    "coupon:早鸟 coupon:ＳＡＬＥ campaign:1 campaign:2 member:7 segment:new segment:quiet "
    "segment:快流失 segment:fans tag:nobody state:leaving state:核心 churn>=60 churn<30 churn=50"
).replace("'", '"')
LEAVES = tuple(leaf.replace("|", " ").replace("_", " ") for leaf in _LEAVES.split())


def rule(rng: random.Random, depth: int = 0) -> str:
    """A rule made up at random, with all its parentheses."""
    if depth == 3 or rng.random() < 0.3:
        leaf = rng.choice(LEAVES)
        return f"not {leaf}" if rng.random() < 0.2 else leaf
    word = rng.choice((" and ", " or "))
    inner = word.join(rule(rng, depth + 1) for _ in range(rng.randint(2, 3)))
    return f"not ({inner})" if rng.random() < 0.2 else f"({inner})"


def alike(rng: random.Random) -> str:
    """Conditions of a kind side by side, which are asked as one."""
    kind = rng.choice(LEAVES).partition(":")[0].split()[0].rstrip("<>=0123456789")
    same = [leaf for leaf in LEAVES if leaf.startswith(kind)] + [rng.choice(LEAVES)]
    parts = [f"not {rng.choice(same)}" if rng.random() < 0.5 else rng.choice(same) for _ in "12345"]
    whole = rng.choice((" and ", " or ")).join(parts)
    return rng.choice((whole, f"not ({whole})"))


def test_the_sql_finds_whom_the_model_finds(conn: Connection) -> None:
    rng = random.Random(5)
    people = [someone(rng, number) for number in range(1, 121)]
    for one in people:
        keep(conn, one)
    for number, word in enumerate(("早鸟", "sale"), 1):
        row = {"title": "", "kind": "amount", "value": 1, "status": "open"}
        put(conn, "offers", id=number, word=word, created_at=0, created_by="", **row)
    for number, parent in ((1, None), (2, None), (3, 2)):
        row = {"title": "", "channel": CHANNEL, "audience": "", "routes": "", "status": "done"}
        values = {"window_s": 0, "seed": b"", "created_at": 0, "created_by": ""}
        put(conn, "campaigns", id=number, parent_id=parent, **row, **values)
    fans = "tag:a or level>=3"
    put(conn, "segments", name="fans", rule=fans, created_at=0, created_by="", updated_at=0)
    asked = [*LEAVES, *(rule(rng) for _ in range(120)), *(alike(rng) for _ in range(120))]
    sizes = set()
    for text in asked:
        tree = rules.expand(rules.parse(text), {"fans": fans})
        expected = [one.id for one in people if one.meets(tree)]
        got = found(conn, text, levels=LEVELS, tiers=TIERS)
        assert got == expected, text
        assert audience.total(conn, text, NOW, levels=LEVELS, tiers=TIERS) == len(expected)
        for who in (1, 7, 120):
            fits = audience.matches(conn, text, who, NOW, levels=LEVELS, tiers=TIERS)
            assert fits is (who in expected), text
        sizes.add(len(expected))
    assert len(sizes) > 40, "rules that all find the same show nothing"


# What the language cannot do to us


def test_what_a_rule_says_never_reaches_a_statement(conn: Connection) -> None:
    member(conn, 1)
    nasty = "x' or '1'='1"
    for name in ("tag", "bought", "clicked", "tier", "topic", "group", "scene", "coupon"):
        text = rules.unparse(Term(name, ":", nasty))
        sql, args = rule_sql.condition(rules.parse(text), NOW)
        assert "1'='1" not in sql
        assert any(nasty in str(arg) for arg in args)
        assert found(conn, text) == []


def test_the_deepest_and_the_longest_rules_can_be_asked(conn: Connection) -> None:
    member(conn, 1)
    deep = "new"
    for _ in range(20):
        deep = f"tag:a or not tag:b and ({deep})"
    assert found(conn, deep) == [1]
    assert found(conn, "not " * 20 + "new") == [1]
    assert found(conn, " and ".join(["new", "not tag:x"] * 25)) == [1]
    text = "new"
    for number in range(23):
        row = {"created_at": 0, "created_by": "", "updated_at": 0}
        put(conn, "segments", name=f"s{number}", rule=text, **row)
        text = f"tag:a or (not tag:b and (tag:c or segment:s{number}))"
    assert found(conn, text) == [1]


def test_a_rule_that_cannot_be_told_is_an_error(conn: Connection) -> None:
    member(conn, 1)
    for text in ("segment:ghost", "tag:", ""):
        with pytest.raises(RuleError):
            page(conn, text, CHANNEL, NOW)


# Pages


def test_pages_follow_each_other_until_there_are_no_more(conn: Connection) -> None:
    for number in range(1, 26):
        member(conn, number, channel=CHANNEL if number % 5 else "other")
    got: list[list[int]] = []
    after = 0
    while ids := found(conn, "not member:3", after=after, limit=8):
        got.append(ids)
        after = ids[-1]
    known = [number for number in range(1, 26) if number % 5 and number != 3]
    assert got == [known[:8], known[8:16], known[16:]]
    assert audience.total(conn, "not member:3", NOW) == 24
    assert audience.strangers(conn, "not member:3", CHANNEL, NOW) == 5
    assert found(conn, "everyone", after=25) == []
    assert found(conn, "everyone", after=2**40) == []


def test_of_two_identities_on_a_channel_the_newest_counts_and_neither_page_splits_them(
    conn: Connection,
) -> None:
    for number in (1, 2, 3):
        member(conn, number, last_seen_at=5.0)
        row = {"channel": CHANNEL, "member_id": number, "followed": 0, "allowance": number}
        put(conn, "identities", external_id=f"new{number}", last_seen_at=9.0, **row)
    pages = [page(conn, "everyone", CHANNEL, NOW, after=after, limit=1)[0] for after in (0, 1, 2)]
    assert [(one.external_id, one.followed, one.allowance) for one in pages] == [
        ("new1", False, 1),
        ("new2", False, 2),
        ("new3", False, 3),
    ]
    assert len(page(conn, "everyone", CHANNEL, NOW)) == 3


def test_a_page_knows_what_decides_about_each_person(conn: Connection) -> None:
    member(conn, 1, allowance=3, allowance_until=NOW + 9, blocked_at=NOW)
    put(conn, "mass_received", channel=CHANNEL, month=MONTH, member_id=1, count=2)
    put(conn, "mass_received", channel=CHANNEL, month="2025-10", member_id=1, count=4)
    put(conn, "mass_received", channel="other", month=MONTH, member_id=1, count=4)
    row = {"channel": CHANNEL, "at": 0, "day": "", "month": MONTH}
    put(conn, "mass_sends", msg_id="1", ours=0, **row)
    put(conn, "mass_sends", msg_id="2", ours=1, **row)
    put(conn, "notice_grants", channel=CHANNEL, member_id=1, template_id="T", count=2, updated_at=0)
    midnight = (NOW + 28_800) // DAY_S * DAY_S - 28_800
    for number, (status, at) in enumerate(
        (
            ("accepted", midnight),
            ("unknown", midnight - 1),
            ("delivered", midnight - 6 * DAY_S),
            ("sending", midnight - 6 * DAY_S - 1),
            ("refused", NOW),
            ("planned", None),
        )
    ):
        put(conn, "deliveries", campaign_id=number, member_id=1, status=status, claimed_at=at)
    assert page(conn, "everyone", CHANNEL, NOW, template_id="T") == [
        Person(1, "o1", True, True, False, 3, NOW + 9, 3, 1, 3, 2, None)
    ]
    assert page(conn, "everyone", CHANNEL, NOW)[0].grants == 0
    assert page(conn, "everyone", CHANNEL, NOW, month="2025-12")[0].mass_month == 0
    conn.execute("update notice_grants set refused = 1")
    assert page(conn, "everyone", CHANNEL, NOW, template_id="T")[0].grants == 0


@pytest.mark.parametrize(
    ("out", "subscribed", "topic", "unwilling"),
    [
        ((), (), "", False),
        (("",), (), "", True),
        (("",), (), "新课", True),
        (("新课",), (), "新课", True),
        (("新课",), (), "", False),
        (("直播",), (), "新课", False),
        (("",), ("新课",), "新课", False),
        (("",), ("新课",), "", True),
        (("新课",), ("新课",), "新课", False),
    ],
)
def test_who_opted_out_is_marked_unless_they_subscribed_to_the_topic(
    conn: Connection,
    out: Sequence[str],
    subscribed: Sequence[str],
    topic: str,
    unwilling: bool,
) -> None:
    member(conn, 1)
    for one in out:
        put(conn, "optouts", member_id=1, topic=one, since=0)
    for one in subscribed:
        put(conn, "subscriptions", member_id=1, topic=one, since=0)
    assert page(conn, "everyone", CHANNEL, NOW, topic=topic)[0].opted_out is unwilling


def test_a_thin_page_knows_as_much_as_a_dense_one(conn: Connection) -> None:
    for number in range(1, 300):
        member(conn, number)
        put(conn, "optouts", member_id=number, topic="", since=0)
        put(conn, "deliveries", campaign_id=1, member_id=number, status="accepted", claimed_at=NOW)
        if number % 50 == 1:
            put(conn, "member_tags", member_id=number, tag="thin", since=0)
    thin = page(conn, "tag:thin", CHANNEL, NOW)
    dense = {one.member_id: one for one in page(conn, "everyone", CHANNEL, NOW)}
    assert [one.member_id for one in thin] == [1, 51, 101, 151, 201, 251]
    assert thin == [dense[one.member_id] for one in thin]
    assert all(one.opted_out and one.sent_day == one.sent_week == 1 for one in thin)


def test_own_hours_are_told_when_they_are_asked_for(conn: Connection) -> None:
    member(conn, 1)
    member(conn, 2)
    for number in range(9):
        put(
            conn,
            "interactions",
            at=NOW - number * DAY_S,
            channel=CHANNEL,
            member_id=1,
            kind="text",
            text="",
            handler="",
            item="",
        )
    hour = int((NOW + 28_800) % DAY_S // 3600)
    assert [one.hour for one in page(conn, "everyone", CHANNEL, NOW, hours=True)] == [hour, None]
    assert [one.hour for one in page(conn, "everyone", CHANNEL, NOW)] == [None, None]


def test_what_a_page_costs_does_not_grow_with_the_table(conn: Connection) -> None:
    conn.executemany(
        "insert into members (id, created_at) values (?, 0)", [(n,) for n in range(1, 10_001)]
    )
    conn.executemany(
        "insert into identities (channel, external_id, member_id) values ('mp', ?, ?)",
        [(f"o{n}", n) for n in range(1, 10_001)],
    )
    steps: list[int] = []
    conn.set_progress_handler(lambda: steps.append(1), 1000)
    after = count = 0
    rule = "quiet 30d and not tag:x"
    while people := page(conn, rule, CHANNEL, NOW, after=after, limit=500, limit_s=0):
        count, after = count + len(people), people[-1].member_id
    assert count == 10_000
    # Measured: 52 steps of SQLite's machine for each member; a plan that reads a table for
    # every page takes thousands.
    assert len(steps) * 1000 / count < 150


# For the chat


async def test_a_look_gives_numbers_and_a_sample(store: Store) -> None:
    for number in range(20):
        await store.members.meet(CHANNEL, f"o{number}", NOW - number * DAY_S)
    look = await store.audiences.look("new 10d", NOW, sample=3)
    assert (look.matched, look.members, len(look.sample)) == (11, 20, 3)
    assert list(look.sample) == sorted(set(look.sample))
    assert await store.audiences.look("tag:none", NOW) == audience.Found(0, 20, ())
    with pytest.raises(RuleError):
        await store.audiences.look("segment:ghost", NOW)
