"""Order in groups: what was judged and done, what operators said of it, and their words.

A case is one message, by its key: judging the same message again finds the same case. What a
case does is planned in the transaction that writes it, so nothing is done twice or forgotten.
What was said is blanked with the talk of its group; what an operator's verdict teaches stays as
a lesson without who, where and numbers, in a row of `findings`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from store.db import Database
from store.dialect import Connection
from store.ledgers import Deed
from store.posts import NewPost, plan_in
from store.statements import rows_of

SPAM = "spam"
FALSE_ALARM = "false_alarm"

NOTED = "noted"
HIDDEN = "hidden"
WARNED = "warned"
SILENCE = "silence"
SILENCED = "silenced"
RELEASED = "released"
KICK = "kick"
KICKED = "kicked"
FAILED = "failed"
"""What was done: words of the column `action`. "silence" and "kick" are meant, not done yet."""

LESSONS = "order_lessons"
"""Name of the finding: what verdicts taught, a JSON list of lessons."""
LESSONS_KEPT = 1000

_COLUMNS = (
    "id, key, place, member_id, message_id, at, text, reasons, score, severity, action, verdict, "
    "verdict_by, verdict_at, reported_at"
)
_SAME_S = 86_400.0
_SAME_MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCase:
    """A message that was judged.

    key: of the message, 16 bytes. member_id: None for somebody who is not to be recorded; text:
    "" likewise. actions: what is to be done, words of this module. report: operators hear of it.
    """

    key: bytes
    place: str
    member_id: int | None
    message_id: str
    at: float
    text: str
    reasons: tuple[str, ...]
    score: float | None
    severity: int
    actions: tuple[str, ...]
    report: bool


@dataclass(frozen=True, slots=True)
class Case:
    """A case. verdict: SPAM, FALSE_ALARM or "" for none yet."""

    id: int
    key: bytes
    place: str
    member_id: int | None
    message_id: str
    at: float
    text: str
    reasons: tuple[str, ...]
    score: float | None
    severity: int
    actions: tuple[str, ...]
    verdict: str
    verdict_by: str
    verdict_at: float | None
    reported_at: float | None


class Opened(NamedTuple):
    """A case, and whether it is new and its warning was planned by this call."""

    case: Case
    fresh: bool
    warned: bool


class Settled(NamedTuple):
    """What a verdict settled: the case, whether that changed it, and which others with the same
    words went with it."""

    case: Case
    changed: bool
    others: tuple[int, ...]


class Verdict(NamedTuple):
    """A verdict to learn from. text: "" when it was blanked meanwhile."""

    case_id: int
    spam: bool
    text: str


class Lesson(NamedTuple):
    """What a verdict taught. text: without numbers, accounts and names; mark: of the words."""

    case_id: int
    spam: bool
    text: str
    mark: int


class WordRow(NamedTuple):
    """A banned or allowed word or host. kind: "ban", "allow" or "host". place: "" everywhere."""

    kind: str
    value: str
    place: str
    severity: int


class Sum(NamedTuple):
    """A group's cases: how many, how many of them wait for a verdict, how many were reported."""

    place: str
    cases: int
    waiting: int
    severe: int


class Pending(NamedTuple):
    """Something to do to a member of a group: what, where, and who they are there."""

    case_id: int
    action: str
    place: str
    external_id: str


def _case(row: Sequence[Any]) -> Case:
    values = list(row)
    values[1] = bytes(values[1])
    values[7] = tuple(values[7].split())
    values[10] = tuple(values[10].split())
    return Case(*values)


def _found(conn: Connection, rest: str, *args: Any) -> list[Case]:
    return [_case(row) for row in conn.execute(f"select {_COLUMNS} from order_cases {rest}", args)]


def _act(conn: Connection, number: int, old: str, new: str) -> bool:
    """One word of what was done becomes another; False when it is not among them."""
    found = conn.execute("select action from order_cases where id = ?", (number,)).fetchone()
    words = [] if found is None else str(found[0]).split()
    if old not in words:
        return False
    words[words.index(old)] = new
    conn.execute("update order_cases set action = ? where id = ?", (" ".join(words), number))
    return True


class Order:
    """The tables `order_cases` and `order_words`. Errors of all: StoreError."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # Cases

    async def open(self, new: NewCase, warning: NewPost | None, now: float) -> Opened:
        """Write a case with its warning; a known one stays as it is.

        warning: its key says for whom and which day, so a second case of that day warns nobody.
        """

        def run(conn: Connection) -> Opened:
            row = conn.execute(
                "insert into order_cases (key, place, member_id, message_id, at, text, reasons, "
                "score, severity, action, report) "
                "select ?, ?, (select id from members where id = ?), ?, ?, ?, ?, ?, ?, ?, ? "
                "where true on conflict (key) do nothing returning id",
                (
                    *(new.key, new.place, new.member_id, new.message_id, new.at, new.text),
                    *(" ".join(new.reasons), new.score, new.severity),
                    *(" ".join(new.actions), int(new.report)),
                ),
            ).fetchone()
            warned = warning is not None and plan_in(conn, warning, now)
            case = _found(conn, "where key = ?", new.key)[0]
            if warned and WARNED not in case.actions:
                words = " ".join((*case.actions, WARNED))
                conn.execute("update order_cases set action = ? where id = ?", (words, case.id))
                case = _found(conn, "where key = ?", new.key)[0]
            return Opened(case, row is not None, warned)

        return await self._db.write(run)

    async def case(self, number: int) -> Case | None:
        """One case; None when there is none."""
        return await self._db.read(
            lambda conn: next(iter(_found(conn, "where id = ?", number)), None)
        )

    async def cases(self, place: str, since: float, limit: int = 20) -> list[Case]:
        """The newest cases of a group since then, the newest first. place "": of all groups."""
        rest = "where at >= ? and (? = '' or place = ?) order by id desc limit ?"
        return await self._db.read(lambda conn: _found(conn, rest, since, place, place, limit))

    async def page(
        self, limit: int, *, before: int | None = None, place: str = "", waiting: bool = False
    ) -> list[Case]:
        """Cases, newest first, those before a number; place "": of all groups.

        waiting: only those that operators were to hear of and have said nothing to.
        """
        rest = "where id < ? and (? = '' or place = ?) "
        rest += "and verdict = '' and report = 1 " if waiting else ""
        at = 2**63 - 1 if before is None else before
        return await self._db.read(
            lambda conn: _found(conn, f"{rest}order by id desc limit ?", at, place, place, limit)
        )

    async def sums(self, since: float) -> list[Sum]:
        """The groups with cases since then, who has most first."""

        def run(conn: Connection) -> list[Sum]:
            rows = conn.execute(
                "select place, count(*) as n, sum(case when verdict = '' and report = 1 then 1 "
                "else 0 end), sum(case when report = 1 then 1 else 0 end) from order_cases "
                "where at >= ? group by place order by n desc, place",
                (since,),
            )
            return [Sum(*row) for row in rows]

        return await self._db.read(run)

    async def strikes(self, member_id: int, place: str, since: float) -> int:
        """How often a member was warned or worse in a group since then, false alarms apart."""

        def run(conn: Connection) -> int:
            row = conn.execute(
                "select count(*) from order_cases where member_id = ? and place = ? and at >= ? "
                "and severity >= 2 and verdict <> ?",
                (member_id, place, since, FALSE_ALARM),
            ).fetchone()
            return int(row[0])

        return await self._db.read(run)

    # What is done about them

    async def did(self, number: int, old: str, new: str) -> bool:
        """What was meant is done, or failed; False when it was not meant any more."""
        return await self._db.write(lambda conn: _act(conn, number, old, new))

    async def pending(self, since: float) -> list[Pending]:
        """What was meant since then and is not done, and whom a false alarm keeps silent."""

        def run(conn: Connection) -> list[Pending]:
            rows = conn.execute(
                "select c.id, c.action, c.place, c.verdict, c.at, i.external_id "
                "from order_cases as c join groups as g on g.place = c.place "
                "join identities as i on i.member_id = c.member_id and i.channel = g.channel "
                "where c.id in (select id from order_cases where at >= ? union select id from "
                "order_cases where verdict_at is not null and verdict_at >= ?) "
                "and (c.action like ? or c.action like ?) order by c.id limit 100",
                (since, since, "%silence%", f"%{KICK}%"),
            ).fetchall()
            found = []
            for number, action, place, verdict, at, external_id in rows:
                words = action.split()
                wrong = verdict == FALSE_ALARM
                if wrong and SILENCED in words:
                    found.append(Pending(number, RELEASED, place, external_id))
                found += [
                    Pending(number, word, place, external_id)
                    for word in (KICK, SILENCE)
                    if word in words and at >= since and not wrong
                ]
            return found

        return await self._db.read(run)

    # Reports

    async def unreported(self) -> list[str]:
        """Groups with cases that operators have yet to hear of."""

        def run(conn: Connection) -> list[str]:
            rows = conn.execute(
                "select distinct place from order_cases where report = 1 and reported_at is null"
            )
            return [row[0] for row in rows]

        return await self._db.read(run)

    async def report(self, place: str, now: float, pause_s: float) -> list[Case]:
        """Take the cases of a group to tell of, oldest first; [] for none, or too soon.

        They carry this moment from now on, which names the report. pause_s: time between two.
        """

        def run(conn: Connection) -> list[Case]:
            last = conn.execute(
                "select max(reported_at) from order_cases where place = ? "
                "and reported_at is not null",
                (place,),
            ).fetchone()[0]
            # A report of the future is one of a clock that was set back since.
            if last is not None and 0 <= now - last < pause_s:
                return []
            conn.execute(
                "update order_cases set reported_at = ? where place = ? and report = 1 "
                "and reported_at is null",
                (now, place),
            )
            return _found(
                conn, "where place = ? and report = 1 and reported_at = ? order by id", place, now
            )

        return await self._db.write(run)

    async def reported(self, since: float) -> list[list[Case]]:
        """The reports that were taken since then, each as its cases."""

        def run(conn: Connection) -> list[list[Case]]:
            found: dict[tuple[str, float], list[Case]] = {}
            for case in _found(conn, "where reported_at >= ? order by id", since):
                found.setdefault((case.place, case.reported_at or 0.0), []).append(case)
            return list(found.values())

        return await self._db.read(run)

    # Verdicts

    async def verdict(
        self, number: int, spam: bool, deed: Deed, apology: Callable[[Case], NewPost | None]
    ) -> Settled | None:
        """An operator's word on a case; None when there is no such case.

        The other word later turns it around. What was said in the same words within a day, and is
        not settled otherwise, goes with it. apology: what to post for a case that warned.
        """
        word = SPAM if spam else FALSE_ALARM

        def run(conn: Connection) -> Settled | None:
            found = _found(conn, "where id = ?", number)
            if not found:
                return None
            case = found[0]
            if case.verdict == word:
                return Settled(case, False, ())
            same = []
            if case.text:
                same = _found(
                    conn,
                    "where text = ? and id <> ? and verdict in ('', ?) and at between ? and ? "
                    "order by id limit ?",
                    *(case.text, number, case.verdict, case.at - _SAME_S, case.at + _SAME_S),
                    _SAME_MOST,
                )
            for one in (case, *same):
                conn.execute(
                    "update order_cases set verdict = ?, verdict_by = ?, verdict_at = ?, "
                    "learned_at = null where id = ?",
                    (word, deed.actor, deed.at, one.id),
                )
                if not spam and WARNED in one.actions and (post := apology(one)) is not None:
                    plan_in(conn, post, deed.at)
            also = f" and {len(same)} alike" if same else ""
            deed.write(conn, f"order:{number}", f"{word}{also}")
            settled = _found(conn, "where id = ?", number)[0]
            return Settled(settled, True, tuple(one.id for one in same))

        return await self._db.write(run)

    async def people(self, number: int) -> dict[int, str]:
        """Case -> who it is about, by their id on the group's channel; this one and those alike.

        Who is not recorded, or not on that channel any more, is not in it.
        """

        def run(conn: Connection) -> dict[int, str]:
            rows = conn.execute(
                "select c.id, i.external_id from order_cases as a join order_cases as c "
                "on c.id = a.id or (a.text <> '' and c.text = a.text and c.at between a.at - ? "
                "and a.at + ?) join groups as g on g.place = c.place "
                "join identities as i on i.member_id = c.member_id and i.channel = g.channel "
                "where a.id = ? order by c.id limit ?",
                (_SAME_S, _SAME_S, number, _SAME_MOST + 1),
            )
            return dict(rows.fetchall())

        return await self._db.read(run)

    async def unlearned(self, limit: int = 200) -> list[Verdict]:
        """Verdicts that nobody has learned from yet, oldest first."""

        def run(conn: Connection) -> list[Verdict]:
            rows = conn.execute(
                "select id, verdict, text from order_cases where verdict <> '' "
                "and learned_at is null order by id limit ?",
                (limit,),
            )
            return [Verdict(row[0], row[1] == SPAM, row[2]) for row in rows]

        return await self._db.read(run)

    async def lessons(self) -> list[Lesson]:
        """All lessons, oldest first; [] for none."""
        return await self._db.read(_lessons)

    async def learned(
        self, verdicts: Collection[Verdict], lessons: Collection[Lesson], now: float
    ) -> list[Lesson]:
        """Keep what these verdicts taught; gives all lessons. The newest for a case counts.

        lessons: of those whose text was known. A verdict without one turns its older lesson.
        """

        def run(conn: Connection) -> list[Lesson]:
            kept = {one.case_id: one for one in _lessons(conn)}
            for verdict in verdicts:
                done = conn.execute(
                    "update order_cases set learned_at = ? where id = ? and verdict = ? "
                    "returning id",
                    (now, verdict.case_id, SPAM if verdict.spam else FALSE_ALARM),
                ).fetchone()
                old = kept.pop(verdict.case_id, None)
                if done is not None and old is not None:
                    kept[verdict.case_id] = old._replace(spam=verdict.spam)
            for lesson in lessons:
                known = conn.execute("select 1 from order_cases where id = ?", (lesson.case_id,))
                if known.fetchone() is not None:
                    # A raid of fifty teaches one thing; what was said of it last counts.
                    for same in [one.case_id for one in kept.values() if one.mark == lesson.mark]:
                        del kept[same]
                    kept[lesson.case_id] = lesson
            _keep(conn, list(kept.values())[-LESSONS_KEPT:], now)
            return list(kept.values())[-LESSONS_KEPT:]

        return await self._db.write(run)

    async def blank(self, before: float) -> int:
        """Forget what was said before then; gives how many cases that were.

        A verdict that waits to be learned keeps its words until it is. What was only noted goes
        altogether.
        """

        def run(conn: Connection) -> int:
            gone = conn.execute(
                "delete from order_cases where at < ? and severity < 2 and verdict = '' "
                "and report = 0",
                (before,),
            ).rowcount
            blanked = conn.execute(
                "update order_cases set text = '' where at < ? and text <> '' "
                "and (verdict = '' or learned_at is not null)",
                (before,),
            ).rowcount
            return int(gone + blanked)

        return await self._db.write(run)

    # Words

    async def words(self) -> list[WordRow]:
        """All words and hosts, by kind and place."""

        def run(conn: Connection) -> list[WordRow]:
            rows = conn.execute(
                "select kind, value, place, severity from order_words order by kind, place, value"
            )
            return [WordRow(*row) for row in rows]

        return await self._db.read(run)

    async def set_word(self, word: WordRow, deed: Deed, target: str = "") -> bool:
        """Ban or allow it; False when that was so already. target: as in the audit."""

        def run(conn: Connection) -> bool:
            done = conn.execute(
                "insert into order_words (kind, value, place, severity, at, by) "
                "values (?, ?, ?, ?, ?, ?) on conflict (kind, value, place) do update set "
                "severity = excluded.severity, at = excluded.at, by = excluded.by "
                "where order_words.severity <> excluded.severity returning value",
                (word.kind, word.value, word.place, word.severity, deed.at, deed.actor),
            ).fetchone()
            if done is not None:
                deed.write(conn, target, word.value)
            return done is not None

        return await self._db.write(run)

    async def drop_word(
        self, kinds: Sequence[str], value: str, place: str, deed: Deed, target: str = ""
    ) -> bool:
        """Neither banned nor allowed any more; False when it was not."""

        def run(conn: Connection) -> bool:
            gone = 0
            for kind in kinds:
                gone += conn.execute(
                    "delete from order_words where kind = ? and value = ? and place = ?",
                    (kind, value, place),
                ).rowcount
            if gone:
                deed.write(conn, target, value)
            return gone > 0

        return await self._db.write(run)


def _lessons(conn: Connection) -> list[Lesson]:
    row = conn.execute("select data from findings where name = ?", (LESSONS,)).fetchone()
    if row is None:
        return []
    return [Lesson(int(a), bool(b), str(c), int(d)) for a, b, c, d in json.loads(row[0])]


def _keep(conn: Connection, lessons: Sequence[Lesson], now: float) -> None:
    conn.execute(
        "insert into findings (name, data, made_at) values (?, ?, ?) on conflict (name) "
        "do update set data = excluded.data, made_at = excluded.made_at",
        (LESSONS, json.dumps(lessons, ensure_ascii=False), now),
    )


# Of one person: `store/personal.py`


def told(conn: Connection, member_id: int) -> dict[str, list[dict[str, Any]]]:
    """What of a member's was judged, and how."""
    sql = (
        "select place, at, text, reasons, severity, action, verdict from order_cases "
        "where member_id = ? order by id"
    )
    return {"order_cases": rows_of(conn, sql, member_id)}


def forget(conn: Connection, member_id: int, now: float) -> dict[str, int]:
    """Their cases go, and what was learned from them."""
    rows = conn.execute("delete from order_cases where member_id = ? returning id", (member_id,))
    gone = {row[0] for row in rows.fetchall()}
    kept = _lessons(conn) if gone else []
    if any(lesson.case_id in gone for lesson in kept):
        _keep(conn, [lesson for lesson in kept if lesson.case_id not in gone], now)
    return {"order_cases": len(gone)}


def merge(conn: Connection, keep: int, drop: int) -> None:
    """One person's cases."""
    conn.execute("update order_cases set member_id = ? where member_id = ?", (keep, drop))
