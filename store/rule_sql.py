"""A rule as SQL: fixed pieces, one for each kind of condition, and parameters.

Each condition is a question about one row of `members`, answered by an index. Conditions of one
kind that stand side by side become one question: forty courses are looked for in one walk through
what a member bought, not in forty. What an operator typed goes into the parameters, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from store import rules
from store.rules import And, Audience, Everyone, Not, Or, Rule, Term

Sql = tuple[str, list[Any]]
"""A condition over `m`, a row of members, and its parameters in order."""

_DAY_S = 86_400.0
_NEW_S = 7 * _DAY_S
_ACTIVE_S = 30 * _DAY_S


def condition(
    audience: Audience,
    now: float,
    levels: Sequence[int] = (),
    tiers: Sequence[str] = (),
    segments: Mapping[str, str] | None = None,
) -> Sql:
    """An audience as SQL over `m`, a row of members, in parentheses, and its parameters.

    segments: name -> rule. Errors: RuleError of `rules.expand`.
    """
    whole = rules.expand(audience, segments or {})
    if isinstance(whole, Everyone):
        return _ALWAYS, []
    return _Writer(now, levels, tiers).sql(whole)


_ALWAYS, _NEVER = "(1 = 1)", "(1 = 0)"

# Bought and given back is not bought; which refund means which purchase: see `courses._ended`.
_BOUGHT = (
    "exists (select 1 from events as p where p.member_id = m.id and p.at >= ? "
    "and p.kind = 'purchase' and ({each}) and not exists (select 1 from events as r "
    "where r.member_id = p.member_id and r.item_id = p.item_id and r.kind = 'refund' "
    "and r.at >= p.at and (r.order_id = '' or p.order_id = '' or r.order_id = p.order_id)))"
)
_CLICKED = (
    "exists (select 1 from events as e where e.member_id = m.id and e.at >= ? "
    "and e.kind = 'click' and ({each}))"
)
# Which refund means which order, and that one without an amount is of all: see `orders._SAME`.
_SAME = (
    "((p.order_id <> '' and p.order_id = r.order_id) "
    "or (p.item_id <> '' and p.item_id = r.item_id))"
)
# A number is a group's: then it is worked out once where several comparisons ask for it.
_SPENT = (
    "(select coalesce(sum(case when r.kind = 'purchase' then r.amount_cents else -(select "
    "coalesce(max(case when r.amount_cents = 0 then p.amount_cents else r.amount_cents end), 0) "
    f"from events as p where {_SAME} and p.member_id = r.member_id and p.kind = 'purchase') end), "
    "0) as n from events as r where r.member_id = m.id and r.kind in ('purchase', 'refund'))"
)
# A refund of a part leaves an order what it was.
_ORDERS = (
    "(select count(distinct case when p.order_id <> '' then 'o' || p.order_id "
    "else 'e' || p.event_id end) as n from events as p where p.member_id = m.id "
    "and p.kind = 'purchase' and not exists (select 1 from events as r "
    "where r.member_id = p.member_id and r.kind = 'refund' and r.at >= p.at "
    f"and (r.amount_cents = 0 or r.amount_cents >= p.amount_cents) and {_SAME}))"
)
_EARNED = (
    "(select coalesce(max(a.earned), 0) as n from point_accounts as a where a.member_id = m.id)"
)
_BALANCE = (
    "(select coalesce(max(a.balance), 0) as n from point_accounts as a where a.member_id = m.id)"
)
_INVITED = (
    "(select count(*) as n from referrals as r where r.inviter_id = m.id and r.status = 'credited')"
)
_SEEN = "exists (select 1 from identities as i where i.member_id = m.id and i.last_seen_at >= ?)"
_FOLLOWS = "exists (select 1 from identities as i where i.member_id = m.id and i.followed = 1)"
_FOLLOWED = (
    "exists (select 1 from identities as i where i.member_id = m.id and i.followed = 1 "
    "and i.followed_at >= ?)"
)
_TAG = "exists (select 1 from member_tags as t where t.member_id = m.id and ({each}))"
_TOPIC = "exists (select 1 from subscriptions as s where s.member_id = m.id and ({each}))"
_GROUP = (
    "exists (select 1 from group_members as g where g.member_id = m.id "
    "and g.left_at is null and ({each}))"
)
_SCENE = "exists (select 1 from interactions as i where i.member_id = m.id and ({each}))"
_COUPON = (
    "exists (select 1 from coupons as c join offers as o on o.id = c.offer_id "
    "where c.member_id = m.id and ({each}) and ((c.status = 'reserved' and "
    "c.reserved_until > ?) or (c.status in ('claimed', 'reserved') "
    "and (c.expires_at is null or c.expires_at > ?))))"
)
# What repeats is sent by campaigns of its own.
_SENT = (
    "exists (select 1 from deliveries as d where d.member_id = m.id and d.campaign_id in "
    "(select c.id from campaigns as c where {each}) "
    "and d.status in ('accepted', 'delivered'))"
)
# What the insights conclude; where there are none it finds nobody.
_STATE = "exists (select 1 from member_features as f where f.member_id = m.id and ({each}))"
# Whose risk nobody knows has none, neither a small nor a great one.
_CHURN = (
    "exists (select 1 from member_features as f where f.member_id = m.id "
    "and cast(round(f.churn * 100) as integer) {sign} ?)"
)
_DID = {
    "checkin": "exists (select 1 from checkins as c where c.member_id = m.id)",
    "homework": "exists (select 1 from homework as h where h.member_id = m.id)",
    "quiz": "exists (select 1 from quiz_attempts as q where q.member_id = m.id "
    "and q.finished_at is not null)",
    "invite": "exists (select 1 from referrals as r where r.inviter_id = m.id "
    "and r.status = 'credited')",
}

# Conditions of which one row is enough: the question, and what stands in it for each of them.
_ANY = {
    "bought": (_BOUGHT, "p.item_id = ? and p.at >= ?"),
    "clicked": (_CLICKED, "e.at >= ? and (e.item_id = ? or e.campaign = ?)"),
    "tag": (_TAG, "t.tag = ?"),
    "topic": (_TOPIC, "s.topic = ?"),
    "group": (_GROUP, "g.place = ?"),
    "scene": (_SCENE, "i.item = ?"),
    "coupon": (_COUPON, "o.word = ?"),
    "campaign": (_SENT, "c.id = ? or c.parent_id = ?"),
    "state": (_STATE, "f.state = ?"),
}
_NUMBERS = {
    "level": _EARNED,
    "points": _BALANCE,
    "spent": _SPENT,
    "orders": _ORDERS,
    "invited": _INVITED,
}
_LATEST = ("active", "followed")

_LINKS = 32

Literal = tuple[Rule, bool]
"""A part without the nots before it, and whether they deny it."""


class _Writer:
    """The tree as SQL."""

    def __init__(self, now: float, levels: Sequence[int], tiers: Sequence[str]) -> None:
        self.now = now
        self.levels = levels
        self.tiers = tiers
        self.alone: Mapping[str, Callable[[Term], Sql]] = {
            "new": lambda term: ("m.created_at >= ?", [self.since(term, _NEW_S)]),
            "did": lambda term: (_DID[term.value], []),
            "tier": self.tier,
            "churn": lambda term: (_CHURN.replace("{sign}", term.sign), [int(term.value)]),
            "member": lambda term: ("m.id = ?", [int(term.value)]),
        }

    def sql(self, rule: Rule, denied: bool = False) -> Sql:
        """denied: whether an odd number of nots stands before it; no condition is ever null."""
        bare, denied = _bare(rule, denied)
        if isinstance(bare, Term):
            return self.heap([(bare, denied)], "or")
        assert isinstance(bare, And | Or)
        word = "and" if isinstance(bare, And) is not denied else "or"
        heaps: dict[tuple[Any, ...], list[Literal]] = {}
        for part in bare.parts:
            one = _bare(part, denied)
            heaps.setdefault(_alike(one, word), []).append(one)
        # SQLite's parser has a stack of a hundred: nots go down to the conditions, and the
        # deepest part stands first, with nothing before it. Then what is cheap, so that the rest
        # is often not asked.
        ordered = sorted(
            heaps.values(), key=lambda heap: (-rules.depth(heap[0][0]), _cost(heap[0][0]))
        )
        written = [self.heap(heap, word) for heap in ordered]
        if len(written) == 1:
            return written[0]
        return f"({f' {word} '.join(sql for sql, _ in written)})", [
            arg for _, args in written for arg in args
        ]

    def heap(self, literals: Sequence[Literal], word: str) -> Sql:
        """Parts that are alike, with this word between them, as one condition."""
        first, denied = literals[0]
        if not isinstance(first, Term):
            return self.sql(first, denied)
        # What was typed twice is asked once.
        terms = {one: off for one, off in literals if isinstance(one, Term)}
        if first.name in _NUMBERS:
            both = [(one, off) for one, off in dict.fromkeys(literals) if isinstance(one, Term)]
            return self.numbers(_NUMBERS[first.name], both, word)
        if first.name in _LATEST:
            some = (word == "or") is not denied
            sql, args = self.latest(
                first.name, (min if some else max)(map(self.latest_since, terms))
            )
        elif first.name in _ANY:
            sql, args = self.any(first.name, list(terms))
        else:
            sql, args = self.alone[first.name](first)
        return f"(not ({sql}))" if denied else f"({sql})", args

    def any(self, name: str, terms: Sequence[Term]) -> Sql:
        """Whom at least one of these conditions of a kind finds."""
        question, each = _ANY[name]
        args = [arg for term in terms for arg in self.each(term)]
        if name in ("bought", "clicked"):
            # The index of a member's events goes by time.
            args.insert(0, min(map(self.since, terms)))
        if name == "coupon":
            args += [self.now, self.now]
        return question.replace("{each}", _side_by_side("or", [f"({each})"] * len(terms))), args

    def each(self, term: Term) -> list[Any]:
        if term.name == "bought":
            return [term.value, self.since(term)]
        if term.name == "clicked":
            return [self.since(term), term.value, term.value]
        if term.name == "campaign":
            return [int(term.value)] * 2
        return [f"scene:{term.value}" if term.name == "scene" else term.value]

    def numbers(self, value: str, terms: Sequence[tuple[Term, bool]], word: str) -> Sql:
        """Comparisons of one number about a member, which is worked out once."""
        written = [self.compared(term) for term, _ in terms]
        said = [
            f"(not ({sql}))" if off else f"({sql})"
            for (sql, _), (_, off) in zip(written, terms, strict=True)
        ]
        args = [arg for _, more in written for arg in more]
        if len(said) == 1:
            return said[0].replace("{n}", value), args
        # The limit keeps SQLite from working it out inside each comparison.
        once = f"{value.removesuffix(')')} limit 1)"
        every = _side_by_side(word, said).replace("{n}", "v.n")
        return f"(exists (select 1 from {once} as v where {every}))", args

    def compared(self, term: Term) -> Sql:
        """A comparison of {n}."""
        if term.name == "level":
            return self.level(term)
        value = _cents(term.value) if term.name == "spent" else int(term.value)
        return f"{{n}} {term.sign} ?", [value]

    def since(self, term: Term, usual_s: float = 0.0) -> float:
        """The beginning of a condition's time; 0.0 for all times."""
        within_s = term.within_s or usual_s
        return self.now - within_s if within_s else 0.0

    def latest_since(self, term: Term) -> float:
        return self.since(term, _ACTIVE_S if term.name == "active" else 0.0)

    def latest(self, name: str, since: float) -> Sql:
        if name == "active":
            return _SEEN, [since]
        return (_FOLLOWED, [since]) if since else (_FOLLOWS, [])

    def level(self, term: Term) -> Sql:
        """A level is so many points ever earned: the lowest is 1, below it is 0."""
        wanted = int(term.value)
        if term.sign in (">=", ">"):
            return self.from_level(wanted + (term.sign == ">"))
        if term.sign in ("<=", "<"):
            sql, args = self.from_level(wanted + (term.sign == "<="))
            return f"not {sql}", args
        low, low_args = self.from_level(wanted)
        high, high_args = self.from_level(wanted + 1)
        return f"{low} and not {high}", low_args + high_args

    def from_level(self, level: int) -> Sql:
        if level <= 0:
            return _ALWAYS, []
        if level > len(self.levels):
            return _NEVER, []
        return "({n} >= ?)", [self.levels[level - 1]]

    def tier(self, term: Term) -> Sql:
        """That tier or a higher one, until it ends; one that is not configured counts alone."""
        meant = [term.value]
        if term.value in self.tiers:
            meant = list(self.tiers[self.tiers.index(term.value) :])
        places = ", ".join("?" * len(meant))
        return (
            f"m.tier in ({places}) and (m.tier_until is null or m.tier_until > ?)",
            [*meant, self.now],
        )


_COSTLY = {"bought": 1, "clicked": 1, "campaign": 1, "spent": 2, "orders": 2, "scene": 3}


def _cost(rule: Rule) -> int:
    """How much the worst of its questions costs, roughly; conditions on the member's row least."""
    if isinstance(rule, Term):
        return -1 if rule.name in ("new", "tier", "member") else _COSTLY.get(rule.name, 0)
    return max(map(_cost, rule.parts)) if isinstance(rule, And | Or) else _cost(rule.part)


def _side_by_side(word: str, said: Sequence[str]) -> str:
    """Some conditions with a word between them; of many, as SQLite allows a chain 1000 links and
    counts some twice, chains of chains."""
    while len(said) > _LINKS:
        chains = [said[at : at + _LINKS] for at in range(0, len(said), _LINKS)]
        said = [f"({f' {word} '.join(chain)})" for chain in chains]
    return f" {word} ".join(said)


def _bare(part: Rule, denied: bool) -> Literal:
    """A part without the nots before it; who is quiet is not active."""
    while isinstance(part, Not):
        part, denied = part.part, not denied
    if isinstance(part, Term) and part.name == "quiet":
        return replace(part, name="active"), not denied
    return part, denied


def _alike(one: Literal, word: str) -> tuple[Any, ...]:
    """The same for parts that one question can answer, with this word between them."""
    part, denied = one
    if not isinstance(part, Term):
        return (id(part),)
    if part.name in _NUMBERS:
        return (part.name,)
    # Somebody who bought one or the other: one walk. One and the other: each has its own.
    if part.name in _LATEST or (part.name in _ANY and (word == "or") is not denied):
        return (part.name, denied)
    return (part, denied)


def _cents(yuan: str) -> int:
    whole, _, rest = yuan.partition(".")
    return int(whole) * 100 + int(rest or 0)
