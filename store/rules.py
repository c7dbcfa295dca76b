"""Who is meant: a small language that operators write, as a tree. Pure; no table is named here.

    active 30d and tag:python and not bought:py-101 and level>=2 and segment:"about to leave"

`not` binds before `and`, `and` before `or`; 且, 或 and 非 mean the same, and so do full-width
signs and the conditions' Chinese names. Everybody is a kind of audience of its own, that has to
be spelt out and stands alone: no rule becomes it by leaving something out. What a condition means
in the tables stands in `store/audience.py`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import NoReturn

from store import rule_states

LONGEST = 1000
"""Characters of a rule."""
MOST_TERMS = 50
"""Conditions of a rule."""
DEEPEST = 20
"""Parentheses and nots inside each other."""
MOST_EXPANDED = 500
"""Conditions of a rule with the segments it names."""
DEEPEST_EXPANDED = 48
"""Ands and ors inside each other, with the segments."""
LONGEST_NAME = 40
"""Characters of a segment's name."""

DAY_S = 86_400
MOST_DAYS = 3650

DID = ("checkin", "homework", "quiz", "invite")
"""What `did:` knows."""

BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "new": "new 7d",
        "active": "active 30d",
        "quiet": "quiet 30d",
        "about to leave": "active 60d and quiet 21d",
        "快流失": "active 60d and quiet 21d",
    }
)
"""Segments that every store has: name -> rule."""


class RuleError(ValueError):
    """A rule nobody can follow.

    code: a short key, for the chat to word. at: the column, from 1, at most one behind the end.
    expected: what should stand there, English. value: what stands there, or the name that is
    meant; "" for neither.
    """

    def __init__(self, code: str, at: int, expected: str, value: str = "") -> None:
        super().__init__(f"{expected} is expected{f', not {value}' if value else ''}")
        self.code = code
        self.at = at
        self.expected = expected
        self.value = value


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. sign: "" for one without a value, ":" or, of numbers, `>= <= = > <`.

    value: as it is compared: numbers without leading zeros, yuan with two decimals or none.
    within_s: of the last so many seconds, 0 where none are given. at: its column.
    """

    name: str
    sign: str = ""
    value: str = ""
    within_s: int = 0
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """Who the part does not find."""

    part: Rule


@dataclass(frozen=True, slots=True)
class And:
    """Whom all parts find; two parts at least."""

    parts: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Whom some part finds; two parts at least."""

    parts: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Everyone:
    """All there are."""


Rule = And | Or | Not | Term
Audience = Everyone | Rule

_EVERYONE = ("everyone", "所有人", "全部")
_WORDS = {
    **dict.fromkeys(("and", "且", "并且"), "and"),
    **dict.fromkeys(("or", "或", "或者"), "or"),
    **dict.fromkeys(("not", "非", "不是"), "not"),
}
_UNITS = {
    **dict.fromkeys(("d", "天", "日"), DAY_S),
    **dict.fromkeys(("h", "小时"), 3600),
    **dict.fromkeys(("m", "分钟"), 60),
}

# Every full-width sign has one that means the same, one for one: columns stay what they are.
_FOLD = {0xFF01 + n: 0x21 + n for n in range(94)} | {0x3000: " "}
_FOLD |= dict.fromkeys(map(ord, "“”「」"), '"')

_BLANK = re.compile(r"\s*")
_WORD = re.compile(r'[^\s()":<>=≥≤]+')
_SIGN = re.compile(r"\s*(:|>=|<=|=|>|<|≥|≤)\s*")
# Parentheses inside a value go in pairs, so that the one behind it closes the rule's own.
_BARE = re.compile(r'[^\s()"]+(?:\([^\s()"]*\)[^\s()"]*)*')
_QUOTED = re.compile(r'"([^"]*)"')
_WITHIN = re.compile(r"\s*(\d{1,6})\s*(d|h|m|天|日|小时|分钟)(?=[\s()]|$)", re.IGNORECASE)
_LIKE_WITHIN = re.compile(r"\s*(\d[^\s()]*)")
_GLUED = re.compile(r"([^\W\d]+)(?=\d)")
_WHOLE = re.compile(r"\d{1,15}")
_YUAN = re.compile(r"(\d{1,9})(?:\.(\d{1,2}))?")


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a condition is written.

    value: makes what is typed comparable, None when it is no such thing; what: what it is.
    within: whether a time may follow. numeric: full-width digits count as digits.
    """

    signs: tuple[str, ...] = ()
    value: Callable[[str], str | None] | None = None
    what: str = ""
    within: bool = False
    numeric: bool = False


def _text(value: str) -> str | None:
    bad = any(unicodedata.category(sign) in ("Cc", "Cs") for sign in value)
    return None if bad else value


def _whole(most: int) -> Callable[[str], str | None]:
    def read(value: str) -> str | None:
        if not (value.isascii() and _WHOLE.fullmatch(value)) or int(value) > most:
            return None
        return str(int(value))

    return read


def _yuan(value: str) -> str | None:
    found = _YUAN.fullmatch(value) if value.isascii() else None
    if found is None:
        return None
    rest = (found[2] or "").ljust(2, "0")
    return f"{int(found[1])}" if rest == "00" else f"{int(found[1])}.{rest}"


def _did(value: str) -> str | None:
    return _DID_MEANT.get(value.lower())


def _segment(value: str) -> str | None:
    name = segment_name(value)
    return name if len(name) <= LONGEST_NAME else None


def _claim_word(value: str) -> str | None:
    # As `store.offers.fold` keeps them, which stands above this module.
    return _text(unicodedata.normalize("NFKC", value).strip().casefold())


_COMPARES = (">=", "<=", "=", ">", "<")
_MANY = 10**9


def _named(what: str, *, within: bool = False) -> _Kind:
    return _Kind((":",), _text, what, within)


def _counted(what: str, most: int = _MANY) -> _Kind:
    return _Kind(_COMPARES, _whole(most), f"{what} from 0 to {most}", numeric=True)


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "active": _Kind(within=True),
        "quiet": _Kind(within=True),
        "new": _Kind(within=True),
        "followed": _Kind(within=True),
        "tag": _named("a tag"),
        "bought": _named("an item's id", within=True),
        "clicked": _named("an item's id, or a campaign such as c12", within=True),
        "did": _Kind((":",), _did, f"one of {', '.join(DID)}"),
        "level": _counted("a level", 999),
        "points": _counted("a number of points"),
        "spent": _Kind(_COMPARES, _yuan, "an amount in yuan, such as 99.50", numeric=True),
        "orders": _counted("a number"),
        "invited": _counted("a number"),
        "tier": _named("a tier"),
        "topic": _named("a topic"),
        "group": _named("a group"),
        "scene": _named("a QR code's scene"),
        "coupon": _Kind((":",), _claim_word, "an offer's word"),
        "state": _Kind((":",), rule_states.state, f"one of {', '.join(rule_states.CALLED)}"),
        "churn": _counted("a risk in percent", 100),
        "member": _Kind((":",), _whole(10**15 - 1), "a member's number", numeric=True),
        "campaign": _Kind((":",), _whole(10**15 - 1), "a campaign's number", numeric=True),
        "segment": _Kind((":",), _segment, f"a name of at most {LONGEST_NAME} characters"),
    }
)

NAMES = tuple(_KINDS)
"""Every condition there is."""

CALLED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "active": ("活跃",),
        "quiet": ("沉默",),
        "new": ("新", "新人"),
        "followed": ("关注",),
        "tag": ("标签",),
        "bought": ("买过", "购买过"),
        "clicked": ("点过", "点击过"),
        "did": ("做过",),
        "level": ("等级",),
        "points": ("积分",),
        "spent": ("消费",),
        "orders": ("订单",),
        "invited": ("邀请", "邀请过"),
        "tier": ("会员",),
        "topic": ("话题", "主题"),
        "group": ("群",),
        "scene": ("场景",),
        "coupon": ("券", "优惠券"),
        "state": ("状态",),
        "churn": ("流失风险",),
        "member": ("成员",),
        "campaign": ("活动",),
        "segment": ("人群", "分组"),
    }
)
"""Condition -> what it is called in Chinese, the usual name first; a rule may say either."""

DID_CALLED: Mapping[str, str] = MappingProxyType(
    {"checkin": "签到", "homework": "作业", "quiz": "竞赛", "invite": "邀请"}
)
"""The same of what `did:` knows."""

_MEANT = {name: name for name in NAMES} | {
    said: name for name, called in CALLED.items() for said in called
}
_DID_MEANT = {name: name for name in DID} | {said: name for name, said in DID_CALLED.items()}


def segment_name(text: str) -> str:
    """A segment's name as it is stored and compared: width, case and blanks do not matter."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


# Reading


@lru_cache(maxsize=256)
def parse(text: str) -> Audience:
    """The audience that a text says; the page "Campaigns" has the language. Errors: RuleError."""
    return _Reader(text).audience()


class _Reader:
    """Recursive descent over the text itself; `at` is where it is, from 0."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.folded = text.translate(_FOLD)
        self.at = 0
        self.terms = 0
        self.depth = 0

    def audience(self) -> Audience:
        if len(self.text) > LONGEST:
            self.fail("too-long", LONGEST, f"a rule of at most {LONGEST} characters")
        self.blank()
        if self.at == len(self.text):
            self.fail("empty", self.at, "a condition, or everyone,")
        if self.word_here() in _EVERYONE:
            began = self.at
            self.at = self.word_end()
            self.blank()
            if self.at < len(self.text):
                self.fail("everyone-alone", began, "everyone alone")
            return Everyone()
        rule = self.either()
        if self.at < len(self.text):
            found = self.found()
            if found == ")":
                self.fail("unopened", self.at, "and, or, or the end", found)
            self.fail("and-or-expected", self.at, "and, or, or the end", found)
        return rule

    def either(self) -> Rule:
        parts = [self.both()]
        while self.take("or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self) -> Rule:
        parts = [self.one()]
        while self.take("and"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def one(self) -> Rule:
        self.blank()
        began = self.at
        if self.folded.startswith("(", began):
            self.deeper()
            self.at += 1
            inner = self.either()
            self.blank()
            if not self.folded.startswith(")", self.at):
                if self.at == len(self.text):
                    self.fail("unclosed", began, "a closing ) for this")
                self.fail("and-or-expected", self.at, "and, or, or )", self.found())
            self.at += 1
            self.depth -= 1
            self.blank()
            return inner
        if self.take("not"):
            self.deeper()
            inner = self.one()
            self.depth -= 1
            return Not(inner)
        return self.term()

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail("too-deep", self.at, f"at most {DEEPEST} parentheses inside each other")

    def term(self) -> Term:
        began = self.at
        found = _WORD.match(self.folded, began)
        if found is None or self.word_here() in _WORDS:
            self.fail("condition-expected", began, "a condition such as tag:VIP", self.found())
        self.terms += 1
        if self.terms > MOST_TERMS:
            self.fail("too-many", began, f"a rule of at most {MOST_TERMS} conditions")
        word = found[0].lower()
        if word in _EVERYONE:
            self.fail("everyone-alone", began, "everyone alone")
        name, self.at = _MEANT.get(word), found.end()
        if name is None:
            # 活跃30天: Chinese is written without blanks.
            glued = _GLUED.match(self.folded, began)
            name = _MEANT.get(glued[1].lower()) if glued is not None else None
            if glued is None or name is None or not _KINDS[name].within or _KINDS[name].signs:
                self.fail("unknown-condition", began, f"one of {', '.join(NAMES)}", found[0])
            self.at = glued.end()
        kind = _KINDS[name]
        sign, value = self.value(name, kind) if kind.signs else ("", "")
        within_s = self.within() if kind.within else 0
        self.blank()
        return Term(name, sign, value, within_s, began + 1)

    def value(self, name: str, kind: _Kind) -> tuple[str, str]:
        found = _SIGN.match(self.folded, self.at)
        sign = {"≥": ">=", "≤": "<="}.get(found[1], found[1]) if found else ""
        if sign == ":" and ":" not in kind.signs:
            sign = "="
        if found is None or sign not in kind.signs:
            where = self.at if found is None else found.start(1)
            wanted = ":" if kind.signs == (":",) else ">= or another comparison"
            self.fail("sign-expected", where, f"{wanted} behind {name}", found[1] if found else "")
        self.at = began = found.end()
        if self.folded.startswith('"', began):
            closed = _QUOTED.match(self.folded, began)
            if closed is None:
                self.fail("unclosed-quote", began, "a closing quote for this")
            self.at, inside = closed.end(), closed.span(1)
        else:
            bare = _BARE.match(self.folded, began)
            if bare is None:
                self.fail("value-expected", began, kind.what, self.found())
            self.at, inside = bare.end(), bare.span()
        typed = (self.folded if kind.numeric else self.text)[slice(*inside)].strip()
        if not typed:
            self.fail("value-expected", began, kind.what)
        assert kind.value is not None
        value = kind.value(typed)
        if value is None or not value:
            other = {"did": "did-expected", "state": "state-expected"}.get(name, "unknown-value")
            code = "number-expected" if kind.numeric else other
            self.fail(code, began, kind.what, typed)
        return sign, value

    def within(self) -> int:
        found = _WITHIN.match(self.folded, self.at)
        if found is None:
            near = _LIKE_WITHIN.match(self.folded, self.at)
            if near is not None:
                self.fail("time-expected", near.start(1), "a time such as 30d or 12h", near[1])
            return 0
        seconds = int(found[1]) * _UNITS[found[2].lower()]
        if not 0 < seconds <= MOST_DAYS * DAY_S:
            self.fail(
                "time-expected", found.start(1), f"a time up to {MOST_DAYS}d", found[1] + found[2]
            )
        self.at = found.end()
        return seconds

    # Where we are

    def blank(self) -> None:
        found = _BLANK.match(self.folded, self.at)
        assert found is not None
        self.at = found.end()

    def word_end(self) -> int:
        found = _WORD.match(self.folded, self.at)
        return self.at if found is None else found.end()

    def word_here(self) -> str:
        """The word that stands here, unless it is the name before a sign; "" for none."""
        end = self.word_end()
        if _SIGN.match(self.folded, end):
            return ""
        return self.folded[self.at : end].lower()

    def take(self, word: str) -> bool:
        """Go behind and, or, or not, if it stands here."""
        self.blank()
        if _WORDS.get(self.word_here()) != word:
            return False
        self.at = self.word_end()
        return True

    def found(self) -> str:
        """What stands here, short."""
        found = _WORD.match(self.folded, self.at)
        if found is None:
            return self.folded[self.at : self.at + 1]
        return self.text[found.start() : min(found.end(), found.start() + LONGEST_NAME)]

    def fail(self, code: str, at: int, expected: str, value: str = "") -> NoReturn:
        raise RuleError(code, min(at, len(self.text)) + 1, expected, value)


# Writing


def unparse(audience: Audience) -> str:
    """A text that `parse` reads as this again. Values with quotes cannot be written."""
    if isinstance(audience, Everyone):
        return "everyone"
    if isinstance(audience, Term):
        return _written(audience)
    if isinstance(audience, Not):
        return f"not {_inside(audience.part, And, Or)}"
    if isinstance(audience, And):
        return " and ".join(_inside(part, And, Or) for part in audience.parts)
    return " or ".join(_inside(part, Or) for part in audience.parts)


def _inside(part: Rule, *closed: type[Rule]) -> str:
    return f"({unparse(part)})" if isinstance(part, closed) else unparse(part)


def _written(term: Term) -> str:
    value = term.value
    if value and _BARE.fullmatch(value.translate(_FOLD)) is None:
        value = f'"{value}"'
    within = ""
    for unit, seconds in (("d", DAY_S), ("h", 3600), ("m", 60)):
        if term.within_s and term.within_s % seconds == 0:
            within = f" {term.within_s // seconds}{unit}"
            break
    return f"{term.name}{term.sign}{value}{within}"


# Segments


def terms(audience: Audience) -> Iterator[Term]:
    """Every condition, as they are written."""
    if isinstance(audience, Term):
        yield audience
    elif isinstance(audience, Not):
        yield from terms(audience.part)
    elif isinstance(audience, And | Or):
        for part in audience.parts:
            yield from terms(part)


def segments(audience: Audience) -> frozenset[str]:
    """Names of the segments that it names itself, those of every store left out."""
    named = {term.value for term in terms(audience) if term.name == "segment"}
    return frozenset(named - BUILT_IN.keys())


def expand(audience: Audience, saved: Mapping[str, str]) -> Audience:
    """The same without segments: each is replaced by its rule. saved: name -> rule.

    And inside and, or inside or, and not inside not are taken apart. Errors: RuleError with
    `no-segment`, `segment-loop`, `too-many` or `too-deep`, at the segment in this rule.
    """
    if isinstance(audience, Everyone):
        return audience
    return _Expansion(saved).of(audience, (), 0)


class _Expansion:
    def __init__(self, saved: Mapping[str, str]) -> None:
        self.saved = saved
        self.left = MOST_EXPANDED

    def of(self, rule: Rule, inside: tuple[str, ...], at: int) -> Rule:
        """inside: the segments we are in, the outermost first; at: where that is named."""
        if isinstance(rule, Term):
            at = at or rule.at
            if rule.name == "segment":
                return self.segment(rule, inside, at)
            self.left -= 1
            if self.left < 0:
                raise RuleError("too-many", at, f"{MOST_EXPANDED} conditions with all segments")
            return replace(rule, at=at)
        if isinstance(rule, Not):
            part = self.of(rule.part, inside, at)
            return part.part if isinstance(part, Not) else Not(part)
        same = And if isinstance(rule, And) else Or
        flat: list[Rule] = []
        for part in rule.parts:
            one = self.of(part, inside, at)
            flat += one.parts if isinstance(one, same) else (one,)
        whole = same(tuple(flat))
        if depth(whole) > DEEPEST_EXPANDED:
            where = next(terms(max(flat, key=depth))).at
            raise RuleError("too-deep", where, "fewer segments inside each other")
        return whole

    def segment(self, term: Term, inside: tuple[str, ...], at: int) -> Rule:
        name = term.value
        if name in inside:
            loop = " > ".join((*inside, name))
            raise RuleError("segment-loop", at, "a segment that does not name itself", loop)
        text = BUILT_IN.get(name) or self.saved.get(name)
        if text is None:
            raise RuleError("no-segment", at, "a segment that there is", name)
        try:
            rule = parse(text)
        except RuleError as wrong:
            raise RuleError(wrong.code, at, wrong.expected, name) from wrong
        if isinstance(rule, Everyone):
            raise RuleError("everyone-alone", at, "a segment that is not everyone", name)
        return self.of(rule, (*inside, name), at)


def depth(rule: Rule) -> int:
    """Ands and ors inside each other; 0 for a condition alone."""
    if isinstance(rule, Term):
        return 0
    if isinstance(rule, Not):
        return depth(rule.part)
    return 1 + max(map(depth, rule.parts))
