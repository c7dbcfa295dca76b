"""`zhiqun campaign`: campaigns at the terminal, with an owner's power and the chat's rules.

Every verb goes through the same desk as in the chat (`bot/campaigning.py`), so that a
confirmation means the same. Nothing here speaks to WeChat: a running bot finds the changed row
within a second, and sends.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TextIO

from bot import carry_segments
from bot.campaign_filling import Filling
from bot.campaign_media import CampaignMedia
from bot.campaign_phone import Phone
from bot.campaigning import Desk, Place
from bot.carry import private_file
from bot.carry_campaign_words import findings, form_faults, line, moment, preview, refusal, report
from bot.carry_coupons import harmless
from bot.group_campaigning import GroupDesk, ways_of
from bot.group_wording import GroupWording
from bot.incentives import rewards
from bot.outgoing import account_of, campaign_rules
from bot.terminal import FAILED, OK, CommandError, UsageError, config_of_database, with_store
from bot.transfer import BadFile, text_of
from handlers.campaign_text import BadForm, amend, read, timed
from handlers.campaign_when import BadTime
from handlers.campaign_written import write
from handlers.campaigning import Answer, Said, Who
from handlers.context import SHANGHAI
from insights.experiments import judge
from scheduler.clock import CronError
from store.assets import MAX_BYTES, AssetInUse, BadAsset
from store.campaign_outcomes import DELIVERY_COLUMNS
from store.campaign_report import group_table, table
from store.campaigns import STATUSES, Campaign, NewCampaign
from store.ledgers import Deed
from store.rules import RuleError

if TYPE_CHECKING:
    from bot.config import Config
    from store import Store
    from store.groups import Group

ACTOR = "cli"
_LISTED = 50
_PAGE = 1000
_TIMES = ("due_at", "claimed_at", "settled_at")
_YES: Mapping[str, bool] = MappingProxyType({"yes": True, "no": False})


class _Door:
    """One command: what was typed, and the store it is done in."""

    def __init__(self, config: Config, args: argparse.Namespace, store: Store) -> None:
        self.config = config
        self.args = args
        self.store = store
        self.now = time.time()
        self.rules = campaign_rules(config)
        known = rewards(config)
        self.levels = tuple(level.points for level in known.levels)
        self.tiers = known.membership.tiers
        filling = Filling(
            store, None, now=time.time, business=config.business.name, levels=self.levels
        )
        hosts = config.links.allowed_hosts
        self.desk = Desk(
            store,
            self.rules,
            {
                name: Place(account=account_of(one), hosts=hosts)
                for name, one in config.channels.items()
            },
            # Without an account: what is written to a phone goes through the bot.
            Phone(store, {}, filling, CampaignMedia(store.assets, now=time.time)),
            now=time.time,
            levels=self.levels,
            tiers=self.tiers,
            topics=config.business.topics,
            groups=GroupDesk(
                store, GroupWording(filling, store.assets), self.rules, ways_of(config)
            ),
        )

    @property
    def moment(self) -> datetime:
        """Now, as the chat's texts are read by."""
        return datetime.fromtimestamp(self.now, SHANGHAI)

    def called(self, name: str) -> Sequence[Group]:
        """The groups of this number, short name or name; all of them for ""."""
        return self.store.groups.called(name) if name else self.store.groups.all()

    @property
    def who(self) -> Who:
        """Whoever sits at the terminal; each command is a message of its own."""
        return Who(ACTOR, "owner", secrets.token_bytes(16))

    def typed(self, usage: str, *, most: int | None = None) -> list[str]:
        """The arguments, as many as `usage` has words, up to `most`. Errors: UsageError."""
        args: list[str] = self.args.args
        least = len(usage.split())
        if not least <= len(args) <= (least if most is None else most):
            raise _usage(f"{self.args.what} {usage}".strip())
        return args

    def number(self, typed: str) -> int:
        """A number as it was typed: 12 or c12. Errors: UsageError."""
        bare = typed.lower().removeprefix("c").removeprefix("#")
        if not (bare.isascii() and bare.isdigit() and len(bare) < 19):
            raise _usage(f"{self.args.what}: {typed!r} is no number")
        return int(bare)

    async def campaign(self, typed: str) -> Campaign:
        """The campaign that was typed. Errors: CommandError for none."""
        found = await self.store.campaigns.get(self.number(typed))
        if found is None:
            raise CommandError(refusal(Answer(Said.NO_CAMPAIGN)))
        return found


def campaign(args: argparse.Namespace) -> int:
    """`zhiqun campaign WHAT …`."""
    config = config_of_database(args)

    async def work(store: Store) -> int:
        return await _VERBS[args.what](_Door(config, args, store))

    try:
        return with_store(config, work)
    except RuleError as bad:
        raise CommandError(f"nobody can follow the rule: column {bad.at}: {bad}") from bad
    except CronError as bad:
        raise CommandError(f"nobody can follow the cron: {bad}") from bad


def _usage(how: str) -> UsageError:
    return UsageError(f"usage: zhiqun campaign {how}")


def _text(name: str) -> str:
    """A form out of a file, or with - from the terminal."""
    return sys.stdin.read() if name == "-" else text_of(Path(name), "save it as UTF-8")


def _print(lines: Iterable[str]) -> None:
    for one in lines:
        print(one)


# Writing


async def _new(door: _Door) -> int:
    (name,) = door.typed("FILE")
    channels = tuple(door.config.channels)
    empty = NewCampaign(
        title="",
        channel=channels[0] if len(channels) == 1 else "",
        audience="",
        variants=(),
        holdout=door.rules.holdout,
        window_s=door.rules.window_s,
    )
    text = await asyncio.to_thread(_text, name)
    new = await _form(door, name, lambda: read(text, door.moment, empty, door.called))
    made = await door.desk.make(new, door.who)
    return await _look(door, made.id)


async def _form(door: _Door, name: str, made: Callable[[], NewCampaign]) -> NewCampaign:
    """What a form says. Errors: BadFile, with every fault and its line; RuleError for a segment
    there is not."""
    try:
        new = made()
    except BadForm as bad:
        raise BadFile(Path(name), form_faults(bad)) from bad
    if not new.places:
        await door.store.segments.check(new.audience)
    return new


async def _edit(door: _Door) -> int:
    typed, name = door.typed("N FILE")
    one, text = await door.campaign(typed), await asyncio.to_thread(_text, name)
    new = await _form(door, name, lambda: amend(text, door.moment, one.new, door.called))
    return await _then_look(door, await door.desk.edit(one.id, new, door.who))


async def _schedule(door: _Door) -> int:
    typed, *words = door.typed("N TIME", most=8)
    one = await door.campaign(typed)
    try:
        said = timed(" ".join(words), door.moment)
    except BadTime as bad:
        raise CommandError(
            f"that is no time one can use ({bad.why}): 明天 9:00, 12-01 20:00, 每周一 9:00, 现在"
        ) from bad
    if one.kind == "step":
        return _done(Answer(Said.WRONG_STATUS, one))
    try:
        answer = await door.desk.edit(one.id, replace(one.new, **said), door.who)
    except ValueError as bad:
        raise CommandError(f"that time does not fit this campaign: {bad}") from bad
    return await _then_look(door, answer)


async def _undo(door: _Door) -> int:
    (typed,) = door.typed("N")
    answer = await door.desk.undo(door.number(typed), door.who)
    if answer.campaign is not None and answer.campaign.ended:
        return _done(answer)
    return await _then_look(door, answer)


async def _then_look(door: _Door, answer: Answer) -> int:
    if answer.said not in (Said.DONE, Said.AGAIN) or answer.campaign is None:
        return _done(answer)
    return await _look(door, answer.campaign.id)


# Looking


async def _list(door: _Door) -> int:
    status = next(iter(door.typed("", most=1)), None)
    if status is not None and status not in STATUSES:
        raise _usage(f"list [{'|'.join(STATUSES)}]")
    found = await door.store.campaigns.all(status, limit=_LISTED)
    _print(line(one) for one in found)
    print(f"{len(found)} campaigns" + (", the newest" if len(found) == _LISTED else ""))
    return OK


async def _show(door: _Door) -> int:
    (typed,) = door.typed("N")
    one = await door.campaign(typed)
    print(line(one))
    if one.note:
        print(f"note: {one.note}")
    print(write(one, door.called))
    return OK


async def _preview(door: _Door) -> int:
    (typed,) = door.typed("N")
    return await _look(door, door.number(typed))


async def _look(door: _Door, number: int) -> int:
    look = await door.desk.look(number, door.who)
    if look is None:
        return _done(Answer(Said.NO_CAMPAIGN))
    _print(preview(look))
    return OK


async def _lint(door: _Door) -> int:
    """FAILED when something forbids it, so that a script can ask."""
    (typed,) = door.typed("N")
    one = await door.campaign(typed)
    found = await door.desk.check(one.new, door.who)
    _print(findings(found))
    print(f"{len(found)} findings")
    return FAILED if any(each.severity == "error" for each in found) else OK


# Deciding


async def _confirm(door: _Door) -> int:
    typed, code = door.typed("N CODE")
    answer = await door.desk.confirm(
        door.number(typed), code, door.who, override=door.args.override
    )
    if answer.said is Said.WAITS:
        print("noted; a second person has to confirm it, too")
        return OK
    return _done(answer)


async def _verb(door: _Door) -> int:
    (typed,) = door.typed("N")
    run = {
        "pause": door.desk.pause,
        "resume": door.desk.resume,
        "cancel": door.desk.cancel,
    }[door.args.what]
    return _done(await run(door.number(typed), door.who))


def _done(answer: Answer) -> int:
    """Say where the campaign is now. Errors: CommandError for what was refused."""
    one = answer.campaign
    if answer.said not in (Said.DONE, Said.AGAIN) or one is None:
        raise CommandError(refusal(answer))
    again = " already" if answer.said is Said.AGAIN else ""
    print(f"campaign {one.id}{again}: {one.status}")
    if one.status == "scheduled" and one.starts_at is not None:
        many = f"into {one.approved} groups" if one.places else f"for {one.approved} recipients"
        print(f"begins {moment(one.starts_at)}, {many}")
    return OK


# Afterwards


async def _report(door: _Door) -> int:
    (typed,) = door.typed("N")
    told = await door.desk.told(door.number(typed))
    if told is None:
        return _done(Answer(Said.NO_CAMPAIGN))
    verdict = await asyncio.to_thread(judge, told.report, told.report.metric)
    if not door.args.csv:
        _print(report(told.report, verdict))
        return OK
    found = group_table(told.report) if told.report.groups else table(told.report)
    rows = [["" if cell is None else harmless(str(cell)) for cell in row] for row in found]
    await asyncio.to_thread(_written, door.args.csv, lambda out: csv.writer(out).writerows(rows))
    return OK


def _written(name: str, fill: Callable[[TextIO], object]) -> None:
    """Write a file that its owner only may read, or with - to the terminal."""
    if name == "-":
        fill(sys.stdout)
        return
    with private_file(name) as out:
        fill(out)
    print(f"{name} written", file=sys.stderr)


async def _deliveries(door: _Door) -> int:
    typed, name = door.typed("N FILE")
    one = await door.campaign(typed)
    # First, as every export: rather a row too many than a copy nobody knows of.
    await door.store.audit.add(door.now, ACTOR, "export.deliveries", f"campaign:{one.id}")
    lines = name.endswith((".jsonl", ".ndjson"))
    out = sys.stdout if name == "-" else private_file(name)
    count = after = 0
    try:
        if not lines:
            csv.writer(out).writerow(DELIVERY_COLUMNS)
        while page := await door.store.campaign_reports.deliveries(one.id, after, _PAGE):
            await asyncio.to_thread(_write_page, out, page, lines)
            count += len(page)
            after = page[-1][0]
    finally:
        if out is not sys.stdout:
            out.close()
    print(f"{count} deliveries written", file=sys.stderr)
    return OK


def _write_page(out: TextIO, page: Iterable[tuple[Any, ...]], lines: bool) -> None:
    for row in page:
        values = dict(zip(DELIVERY_COLUMNS, row, strict=True))
        for name in _TIMES:
            if values[name] is not None:
                at = datetime.fromtimestamp(values[name], SHANGHAI)
                values[name] = at.isoformat(timespec="seconds")
        if lines:
            out.write(json.dumps(values, ensure_ascii=False) + "\n")
        else:
            cells = ["" if value is None else str(value) for value in values.values()]
            csv.writer(out).writerow([harmless(cell) for cell in cells])


async def _unknown(door: _Door) -> int:
    typed = next(iter(door.typed("", most=1)), None)
    number = None if typed is None else door.number(typed)
    found = await door.store.deliveries.unknown(number, _PAGE)
    for one in found:
        member = "a forgotten member" if one.member_id is None else f"member {one.member_id}"
        print(f"{one.id}  campaign {one.campaign_id}  {member}  {one.route}  {moment(one.at)}")
    print(f"{len(found)} unknown; say what became of one: zhiqun campaign settle ID yes|no")
    return OK


async def _settle(door: _Door) -> int:
    typed, said = door.typed("ID yes|no")
    if said not in _YES:
        raise _usage("settle ID yes|no")
    number = door.number(typed)
    if not await door.desk.settle(number, _YES[said], door.who):
        raise CommandError(f"delivery {number} is not unknown: zhiqun campaign unknown")
    print(f"delivery {number}: {'it arrived' if _YES[said] else 'it did not arrive'}")
    return OK


# What campaigns are made of


async def _asset(door: _Door) -> int:
    name, file = door.typed("NAME FILE")
    data = await asyncio.to_thread(_picture, Path(file))
    deed = Deed(door.now, ACTOR, "asset.put")
    try:
        one = await door.store.assets.put(name, data, door.now, ACTOR, deed)
    except (BadAsset, AssetInUse) as bad:
        raise CommandError(str(bad)) from bad
    print(f"{one.name}: {one.mime}, {one.size} bytes")
    return OK


def _picture(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise BadFile(path, [f"is larger than {MAX_BYTES >> 20} MB"])
    return path.read_bytes()


async def _segment(door: _Door) -> int:
    return await carry_segments.segment(
        door.store, door.args.args, door.now, ACTOR, levels=door.levels, tiers=door.tiers
    )


_VERBS: Mapping[str, Callable[[_Door], Awaitable[int]]] = MappingProxyType(
    {
        "list": _list,
        "show": _show,
        "new": _new,
        "edit": _edit,
        "preview": _preview,
        "lint": _lint,
        "confirm": _confirm,
        "schedule": _schedule,
        "pause": _verb,
        "resume": _verb,
        "cancel": _verb,
        "undo": _undo,
        "report": _report,
        "deliveries": _deliveries,
        "unknown": _unknown,
        "settle": _settle,
        "asset": _asset,
        "segment": _segment,
    }
)
"""What follows `zhiqun campaign`; docs/cli.md describes each."""
