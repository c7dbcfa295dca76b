"""Campaigns: what is to be said, to whom, when, and how far it has come.

What an operator may change is a `NewCampaign`; the rest of the row belongs to the runner. Its
status only moves by guarded updates, so two who act at once never both succeed, and every
change of an operator is written with the one before, so that it can be taken back.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from store import campaign_places, codes, rules
from store.dialect import Connection

Kind = Literal["once", "cron", "step"]
Status = Literal["draft", "scheduled", "freezing", "running", "paused", "late", "done", "cancelled"]
Route = Literal["custom", "mass_list", "mass_tag", "mass_all", "template", "notice", "group"]
Timing = Literal["at", "best"]
Metric = Literal["click", "claim", "purchase", "reply"]

KINDS: tuple[Kind, ...] = get_args(Kind)
STATUSES: tuple[Status, ...] = get_args(Status)
ROUTES: tuple[Route, ...] = get_args(Route)
TIMINGS: tuple[Timing, ...] = get_args(Timing)
METRICS: tuple[Metric, ...] = get_args(Metric)

OPEN: tuple[Status, ...] = ("freezing", "running")
"""What the runner has to do with."""
EDITABLE: tuple[Status, ...] = ("draft", "scheduled")
ENDED: tuple[Status, ...] = ("done", "cancelled")

LONGEST_TITLE = 64
LONGEST_CONTENT = 65_536
"""Bytes of one variant's content as JSON."""
MOST_VARIANTS = 5
MOST_HOLDOUT = 0.5
CODE_SIGNS = 4
_MOST_WEIGHT = 1000
_MOST_WINDOW_S = 90 * 86_400.0
_MOST_DELAY_S = 366 * 86_400.0
_LAST = 253_402_300_799.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One wording of a campaign. content: plain JSON with its "kind"; see docs/campaigns.md."""

    name: str = "A"
    weight: int = 1
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCampaign:
    """A campaign as somebody wants it; every column is explained in docs/tables-campaigns.md.

    audience: a rule of `store/rules.py`, "everyone" for all. routes: best first. starts_at: Unix
    seconds, None for as soon as it is confirmed. delay_s: of a step. not_after: it starts by then
    or asks first. holdout, test_share: 0 to 0.5. places: groups it is posted into instead of going
    to members; see `store/campaign_places.py`.
    """

    title: str
    channel: str
    audience: str
    variants: tuple[Variant, ...]
    routes: tuple[str, ...] = ("custom", "mass_list")
    kind: str = "once"
    topic: str = ""
    marketing: bool = True
    timing: str = "at"
    starts_at: float | None = None
    cron: str = ""
    delay_s: float | None = None
    not_after: float | None = None
    holdout: float = 0.05
    metric: str = "click"
    window_s: float = 259_200.0
    test_share: float = 0.0
    test_s: float = 0.0
    journey_id: int | None = None
    parent_id: int | None = None
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(NewCampaign):
    """A campaign as it is kept. planned: 0 until its list is complete; serial: how often somebody
    has changed or confirmed it; meant: its audience with the rules of the saved segments that it
    names, as they are now, "" when it names none, "?" when one is not there."""

    id: int
    status: str
    seed: bytes
    best_hour: int | None
    planned: int
    frozen_at: float | None
    frozen_to: int
    approved: int
    next_part: int
    failures: int
    note: str
    winner: str
    decided_at: float | None
    created_at: float
    created_by: str
    confirmed_at: float | None
    started_at: float | None
    ended_at: float | None
    serial: int = 0
    meant: str = ""

    @property
    def label(self) -> str:
        """How events, links and orders name it: "c12"."""
        return f"c{self.id}"

    @property
    def ended(self) -> bool:
        """Whether nothing of it will ever go out again."""
        return self.status in ENDED

    @property
    def editable(self) -> bool:
        """Whether it may still be changed: nothing of it has begun."""
        return self.status in EDITABLE and self.started_at is None

    @property
    def new(self) -> NewCampaign:
        """What an operator may change of it, for an edit or a copy."""
        return NewCampaign(**{name: getattr(self, name) for name in _GIVEN_NAMES})

    def variant(self, name: str) -> Variant | None:
        """One of its wordings; None for none."""
        return next((one for one in self.variants if one.name == name), None)


_GIVEN_NAMES = tuple(field.name for field in fields(NewCampaign))


def plain(new: NewCampaign) -> dict[str, Any]:
    """What an operator may change, as plain JSON values; `of_plain` reads it back."""
    values = {name: getattr(new, name) for name in _GIVEN_NAMES}
    values["routes"] = list(new.routes)
    values["places"] = list(new.places)
    if not new.places:
        # What was confirmed before there were places is still what was confirmed.
        del values["places"]
    values["variants"] = [
        {"name": one.name, "weight": one.weight, "content": dict(one.content)}
        for one in new.variants
    ]
    return values


def of_plain(values: Mapping[str, Any]) -> NewCampaign:
    """What `plain` wrote down; names that are not of a campaign are left out."""
    given = {name: values[name] for name in _GIVEN_NAMES if name in values}
    given["routes"] = tuple(given["routes"])
    given["places"] = tuple(given.get("places", ()))
    given["variants"] = tuple(Variant(**one) for one in given["variants"])
    return NewCampaign(**given)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(new: NewCampaign) -> bytes:
    """The hash of all that is approved; 16 bytes. A campaign has the same as its `new`.

    The next time of a repeating one is left out: its cron says when.
    """
    values = plain(new)
    if new.kind == "cron":
        values["starts_at"] = None
    return hashlib.blake2b(_json(values).encode(errors="surrogatepass"), digest_size=16).digest()


def state(campaign: Campaign) -> bytes:
    """The hash of all that is approved of a campaign that is kept; 16 bytes.

    Of one that names saved segments what they mean, too, and of a list how long it is: the
    same `digest` with another list is another question.
    """
    known = digest(campaign)
    if not campaign.meant and not campaign.planned:
        return known
    more = f"{campaign.planned} {campaign.meant}".encode(errors="surrogatepass")
    return hashlib.blake2b(more, key=known, digest_size=16).digest()


def code(campaign: Campaign, actor: str) -> str:
    """The four signs by which this actor confirms exactly this state, once.

    An edit changes them, and so does every confirmation and what is taken back: signs that were
    good before are never good again.
    """
    key = campaign.seed + state(campaign)
    asked = f"{campaign.serial} {actor}".encode()
    told = hashlib.blake2b(asked, key=key, digest_size=8)
    number = int.from_bytes(told.digest(), "big")
    signs = ""
    for _ in range(CODE_SIGNS):
        number, place = divmod(number, len(codes.ALPHABET))
        signs += codes.ALPHABET[place]
    return signs


def changed(before: NewCampaign, after: NewCampaign) -> tuple[str, ...]:
    """Names of what differs, variants as "variants.A"; () for nothing."""
    names = [
        name
        for name in _GIVEN_NAMES
        if name != "variants" and getattr(before, name) != getattr(after, name)
    ]
    old, new = ({one.name: one for one in two.variants} for two in (before, after))
    names += [f"variants.{name}" for name in sorted(old | new) if old.get(name) != new.get(name)]
    return tuple(names)


def adopted(new: NewCampaign, before: Campaign) -> NewCampaign:
    """What an edit makes of a campaign: whose child or step it is stays as it was."""
    return replace(
        new,
        journey_id=before.journey_id,
        parent_id=before.parent_id,
        title=new.title.strip(),
        audience=new.audience.strip(),
    )


def faults(new: NewCampaign) -> list[tuple[str, str]]:
    """What is wrong with its shape: (field, why in English); [] when nothing is.

    The cron and the contents are read by those who know them.
    """
    return list(_faults(new))


def _faults(new: NewCampaign) -> Iterator[tuple[str, str]]:
    if not 1 <= len(new.title.strip()) <= LONGEST_TITLE or not new.title.isprintable():
        yield "title", f"1 to {LONGEST_TITLE} characters on one line"
    if not new.channel:
        yield "channel", "the account that sends it"
    if new.places:
        yield from campaign_places.faults(new)
    else:
        yield from _member_faults(new)
    if len(new.topic) > LONGEST_TITLE or not new.topic.isprintable():
        yield "topic", f"at most {LONGEST_TITLE} characters on one line"
    for field, known in (("kind", KINDS), ("timing", TIMINGS), ("metric", METRICS)):
        if getattr(new, field) not in known:
            yield field, f"one of {', '.join(known)}"
    yield from _variant_faults(new)
    yield from _time_faults(new)
    for field in ("holdout", "test_share"):
        if not 0 <= getattr(new, field) <= MOST_HOLDOUT:
            yield field, f"0 to {MOST_HOLDOUT}"
    if new.test_share > 0 and len(new.variants) < 2:
        yield "test_share", "a test needs two variants"
    elif new.test_share > 0 and not 60 <= new.test_s <= _MOST_WINDOW_S:
        yield "test_s", f"60 to {_MOST_WINDOW_S:.0f} seconds"
    if not 60 <= new.window_s <= _MOST_WINDOW_S:
        yield "window_s", f"60 to {_MOST_WINDOW_S:.0f} seconds"


def _member_faults(new: NewCampaign) -> Iterator[tuple[str, str]]:
    try:
        rules.parse(new.audience)
    except rules.RuleError as error:
        yield "audience", f"column {error.at}: {error}"
    known = [route for route in ROUTES if route != campaign_places.ROUTE]
    if not new.routes or not set(new.routes) <= set(known):
        yield "routes", f"one or more of {', '.join(known)}"
    elif len(set(new.routes)) != len(new.routes):
        yield "routes", "each one once"


def _variant_faults(new: NewCampaign) -> Iterator[tuple[str, str]]:
    names = [one.name for one in new.variants]
    if not 1 <= len(names) <= MOST_VARIANTS or len(set(names)) != len(names):
        yield "variants", f"1 to {MOST_VARIANTS}, each with a name of its own"
    for one in new.variants:
        where = f"variants.{one.name}"
        if not (one.name.isascii() and one.name.isalnum() and len(one.name) <= 8):
            yield where, "a name of 1 to 8 letters or digits"
        if not 1 <= one.weight <= _MOST_WEIGHT:
            yield where, f"a weight of 1 to {_MOST_WEIGHT}"
        try:
            size = len(_json(dict(one.content)).encode(errors="surrogatepass"))
        except (TypeError, ValueError):
            yield where, "a content of plain JSON values"
            continue
        if not isinstance(one.content.get("kind"), str):
            yield where, "a content with its kind"
        if size > LONGEST_CONTENT:
            yield where, f"a content of at most {LONGEST_CONTENT} bytes"


def _time_faults(new: NewCampaign) -> Iterator[tuple[str, str]]:
    wrong = False
    for field in ("starts_at", "not_after"):
        at: float | None = getattr(new, field)
        if at is not None and not (math.isfinite(at) and 0 <= at <= _LAST):
            wrong = True
            yield field, "a moment from 1970 to 9999"
    if wrong:
        return
    if new.not_after is not None and new.kind != "once":
        yield "not_after", "only for one that goes out once"
    elif None not in (new.starts_at, new.not_after) and new.not_after < new.starts_at:  # type: ignore[operator]
        yield "not_after", "not before starts_at"
    if (new.kind == "cron") != bool(new.cron):
        yield "cron", "five fields for one that repeats, none for others"
    if new.kind == "step":
        if new.journey_id is None:
            yield "journey_id", "the journey it is a step of"
        if new.delay_s is None or not abs(new.delay_s) <= _MOST_DELAY_S:
            yield "delay_s", "seconds after the member's start, at most a year"
    elif new.delay_s is not None or new.journey_id is not None:
        yield "delay_s", "only steps of journeys have one"


_GIVEN = ", ".join(name for name in _GIVEN_NAMES if name != "variants")
_READ_NAMES = ("serial", "meant")
"""What a campaign has from other tables."""
_KEPT = ", ".join(
    field.name
    for field in fields(Campaign)
    if field.name not in _GIVEN_NAMES and field.name not in _READ_NAMES
)
COLUMNS = f"{_GIVEN}, {_KEPT}"
"""Of `campaigns`, in the order that a row is read."""
_COLUMN_NAMES = COLUMNS.split(", ")
SETS = ", ".join(f"{name} = ?" for name in _GIVEN.split(", "))
"""For an update of all that an operator may change."""


def given(new: NewCampaign) -> tuple[Any, ...]:
    """The values for SETS; its variants are written apart."""
    values = {name: getattr(new, name) for name in _GIVEN.split(", ")}
    values |= {
        "title": new.title.strip(),
        "audience": new.audience.strip(),
        "routes": " ".join(new.routes),
        "places": " ".join(new.places),
        "marketing": int(new.marketing),
    }
    return tuple(values.values())


_SERIAL = (
    "(select count(*) from campaign_changes as h where h.campaign_id = campaigns.id "
    "and h.kind in ('new', 'edit', 'undo', 'schedule'))"
)


def _of_row(conn: Connection, row: Sequence[Any]) -> Campaign:
    values = dict(zip((*_COLUMN_NAMES, "serial"), row, strict=True))
    values["routes"] = tuple(values["routes"].split())
    values["places"] = tuple(values["places"].split(" ")) if values["places"] else ()
    values["marketing"] = bool(values["marketing"])
    values["seed"] = bytes(values["seed"])
    values["meant"] = _meant(conn, values["audience"])
    return Campaign(**values, variants=_variants(conn, values["id"]))


@functools.lru_cache(maxsize=256)
def _named(audience: str) -> frozenset[str]:
    """The saved segments that a rule names; none for a rule that cannot be read."""
    try:
        return rules.segments(rules.parse(audience))
    except rules.RuleError:
        return frozenset()


def _meant(conn: Connection, audience: str) -> str:
    if not _named(audience):
        return ""
    saved = dict(conn.execute("select name, rule from segments").fetchall())
    try:
        return rules.unparse(rules.expand(rules.parse(audience), saved))
    except rules.RuleError:
        return "?"


def select(conn: Connection, tail: str, *args: Any) -> list[Campaign]:
    """The campaigns of `select … from campaigns` with this tail, with their variants."""
    rows = conn.execute(f"select {COLUMNS}, {_SERIAL} from campaigns {tail}", args).fetchall()
    return [_of_row(conn, row) for row in rows]


def _variants(conn: Connection, campaign_id: int) -> tuple[Variant, ...]:
    return tuple(
        Variant(name=name, weight=weight, content=json.loads(content))
        for name, weight, content in conn.execute(
            "select name, weight, content from variants where campaign_id = ? order by name",
            (campaign_id,),
        )
    )


def write_variants(conn: Connection, campaign_id: int, variants: Sequence[Variant]) -> None:
    """Put these in the place of those it has, inside a transaction."""
    conn.execute("delete from variants where campaign_id = ?", (campaign_id,))
    for one in variants:
        conn.execute(
            "insert into variants (campaign_id, name, weight, content) values (?, ?, ?, ?)",
            (campaign_id, one.name, one.weight, _json(dict(one.content))),
        )


def get(conn: Connection, campaign_id: int) -> Campaign | None:
    """One by its number, inside a transaction; None for none."""
    found = select(conn, "where id = ?", campaign_id)
    return found[0] if found else None


def steps(conn: Connection, journey_id: int) -> list[Campaign]:
    """The steps of a journey in the order of their delays, those taken out included."""
    return select(conn, "where journey_id = ? order by delay_s, id", journey_id)


def due(conn: Connection, now: float) -> list[Campaign]:
    """Those that go out once and whose time has come, earliest first; [] for none."""
    return select(
        conn,
        "where status = 'scheduled' and starts_at <= ? and kind = 'once' order by starts_at, id",
        now,
    )


def repeating(conn: Connection, now: float) -> list[Campaign]:
    """Those that repeat and whose next time has come, earliest first; [] for none."""
    return select(
        conn,
        "where status = 'scheduled' and starts_at <= ? and kind = 'cron' order by starts_at, id",
        now,
    )


def active(conn: Connection) -> list[Campaign]:
    """Those that the runner works on, oldest first; [] for none."""
    return select(conn, "where status in ('freezing', 'running') order by id")


def insert(
    conn: Connection,
    new: NewCampaign,
    now: float,
    by: str,
    key: bytes | None = None,
    *,
    status: Status = "draft",
    rng: Callable[[int], bytes] = secrets.token_bytes,
) -> Campaign | None:
    """Make one, inside a transaction; None when the key has made one, or a repeating one has
    its child of that time. Errors: ValueError for what `faults` would name."""
    if wrong := faults(new):
        raise ValueError("; ".join(f"{field}: {why}" for field, why in wrong))
    values = given(new)
    row = conn.execute(
        f"insert into campaigns ({_GIVEN}, status, seed, created_at, created_by, message_key) "
        f"values ({', '.join('?' * len(values))}, ?, ?, ?, ?, ?) on conflict do nothing "
        "returning id",
        (*values, status, rng(16), now, by, key),
    ).fetchone()
    if row is None:
        return None
    write_variants(conn, row[0], new.variants)
    return get(conn, row[0])


def set_status(
    conn: Connection,
    campaign_id: int,
    to: Status,
    now: float,
    *,
    was: Sequence[str],
    note: str = "",
) -> Campaign | None:
    """Move it, inside a transaction, if its status is one of `was`; None when it is not.

    note: why, for the operator. What ends gets its time of end.
    """
    row = conn.execute(
        "update campaigns set status = ?, note = ?, "
        "ended_at = case when ? then ? else ended_at end "
        f"where id = ? and status in ({', '.join('?' * len(was))}) returning id",
        (to, note, to in ENDED, now, campaign_id, *was),
    ).fetchone()
    return None if row is None else get(conn, campaign_id)


def vouch(conn: Connection, campaign: Campaign, actor: str, now: float) -> None:
    """What its segments mean now is what was confirmed; inside a transaction."""
    if campaign.meant:
        conn.execute(
            "insert into approvals (campaign_id, digest, actor, at) values (?, ?, ?, ?) "
            "on conflict (campaign_id, digest, actor) do update set at = excluded.at",
            (campaign.id, state(campaign), actor, now),
        )


def vouched(conn: Connection, campaign: Campaign) -> bool:
    """Whether its segments mean what they meant when it was confirmed."""
    if not campaign.meant:
        return True
    return bool(
        conn.execute(
            "select count(*) from approvals where campaign_id = ? and digest = ? and at >= "
            "(select coalesce(max(at), 0) from campaign_changes where campaign_id = ? "
            "and kind in ('new', 'edit', 'undo', 'schedule'))",
            (campaign.id, state(campaign), campaign.id),
        ).fetchone()[0]
    )


def spawn(
    conn: Connection, parent: Campaign, at: float, next_at: float, now: float
) -> Campaign | None:
    """Make the campaign of one time of a repeating one, and set the next; inside a transaction.

    None when somebody was faster, or it no longer repeats. The child goes out as it was
    approved for its parent.
    """
    moved = conn.execute(
        "update campaigns set starts_at = ? where id = ? and starts_at = ? "
        "and status = 'scheduled' and kind = 'cron' returning id",
        (next_at, parent.id, parent.starts_at),
    ).fetchone()
    if moved is None:
        return None
    once = replace(parent.new, kind="once", cron="", starts_at=at, parent_id=parent.id)
    child = insert(conn, once, now, parent.created_by, status="scheduled")
    if child is None:
        return None
    conn.execute(
        "update campaigns set approved = ?, confirmed_at = ? where id = ?",
        (parent.approved, parent.confirmed_at, child.id),
    )
    made = get(conn, child.id)
    if made is not None and vouched(conn, parent):
        vouch(conn, made, parent.created_by, now)
    return made
