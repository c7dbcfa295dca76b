"""/rec: what recommends, what came of it, which model serves, and rankers compared with each other.

Analysts look; operators train, go back, compare and end the fall-back. Going back asks first. All
of it may run again for the same message: a test is known by the message that began or ended it,
and a model is only left if it is the one that was asked about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from handlers import changes, report_desk
from handlers.context import SHANGHAI, Context
from handlers.message import Message, Reply
from handlers.recommending import Done, Recommendations, Status
from handlers.report_numbers import said
from handlers.router import folded
from handlers.texts import Texts
from store.rec_models import Model
from store.rec_tests import RecTest

_DAY_S = 86_400.0
_LOOKED = 20
"""Of the newest tests, for one that this very message ended."""
_MODELS = 100
"""Of the newest models, for the one that served before: most nights' are not refused."""
_WAIT_S = 2.0
_BY_MEMBER = re.compile(r"rolled back by member:(\d+)")
_SHARE = 0.2
_LEAST_SHARE = 0.01

_RANKERS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("ours", "本店", "本店模型", "模型", "我们的"), "ours"),
        **dict.fromkeys(("popular", "热门", "流行"), "popular"),
        **dict.fromkeys(("item_item", "item-item", "相似", "相似内容"), "item_item"),
        **dict.fromkeys(("lightfm",), "lightfm"),
    }
)
_INTERLEAVE = frozenset({"交错", "交错比", "穿插", "interleave", "interleaved"})
_SPLIT = frozenset({"分组", "分组比", "split", "ab", "a/b"})
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)\s*%?")
_VERBS = MappingProxyType(
    {
        **dict.fromkeys(("", "status", "状态"), "status"),
        **dict.fromkeys(("report", "报告"), "report"),
        **dict.fromkeys(("train", "训练"), "train"),
        **dict.fromkeys(("rollback", "回退", "退回"), "rollback"),
        **dict.fromkeys(("test", "测试", "比"), "test"),
        **dict.fromkeys(("stop", "停"), "stop"),
        **dict.fromkeys(("resume", "恢复"), "resume"),
    }
)


class Wanted(NamedTuple):
    """What /rec test is to compare. share: of the members, 0 to 1."""

    a: str
    b: str
    share: float
    method: str


async def command(message: Message, ctx: Context, rest: str) -> Reply:
    """/rec [report|train|rollback|test A B 20% [交错]|stop|resume]."""
    word, _, more = rest.strip().partition(" ")
    verb, more = _VERBS.get(folded(word), ""), more.strip()
    if not verb:
        said_not = ctx.texts("rec_desk.unknown", word=changes.short(word))
        return Reply.text(f"{said_not}\n{ctx.texts('rec_desk.usage')}")
    ctx.handler = f"operator.rec.{verb}"
    if verb == "report":
        return await report_desk.report(message, ctx, f"rec {more}".strip())
    service = ctx.recommendations
    if service is None:
        return Reply.text(ctx.texts("rec_desk.off"))
    if verb == "status":
        return await _status(ctx, service)
    if verb == "test" and not more:
        return Reply.text("\n".join([*await _tests(ctx), ctx.texts("rec_desk.test_usage")]))
    if (refused := changes.read_only(ctx)) is not None:
        return refused
    if verb == "train":
        return await _train(message, ctx, service)
    if verb == "rollback":
        return await _roll_back(ctx, more)
    if verb == "resume":
        return await _resume(message, ctx, service)
    if verb == "stop":
        return await _stop(message, ctx, more)
    return await _test(message, ctx, service, more)


# Looking


async def _status(ctx: Context, service: Recommendations) -> Reply:
    texts, found = ctx.texts, service.status()
    if not found.enabled:
        return Reply.text(texts("rec_desk.off"))
    lines = [_serving(texts, found)]
    if found.fallback:
        lines.append(texts("rec_desk.fallback", why=worded(texts, found.fallback)))
    if found.missing:
        lines.append(texts("rec_desk.missing", what=missing(texts, found.missing)))
    if found.last and found.last != found.model:
        lines.append(await _last(ctx, found))
    lines += _checked(texts, found.figures)
    lines.append(await _shown(ctx))
    if found.training:
        lines.append(texts("rec_desk.training"))
    lines += await _tests(ctx)
    lines.append(texts("rec_desk.more"))
    return Reply.text("\n".join(lines))


def _serving(texts: Texts, found: Status) -> str:
    if not found.model:
        return texts("rec_desk.none")
    since = f"{datetime.fromtimestamp(found.live_at or found.made_at, SHANGHAI):%m-%d %H:%M}"
    return texts("rec_desk.serving", model=found.model, since=since)


async def _last(ctx: Context, found: Status) -> str:
    """What became of the newest model, which is not the one that serves."""
    texts = ctx.texts
    row = next(
        (one for one in await ctx.store.rec_models.newest(1) if one.name == found.last), None
    )
    if row is not None and row.status == "refused" and row.live_at is not None:
        # It served, and somebody took it down.
        by = _BY_MEMBER.fullmatch(row.why)
        when = f"{datetime.fromtimestamp(row.ended_at or row.live_at, SHANGHAI):%m-%d %H:%M}"
        if by is None:
            return texts("rec_desk.last_taken_down", model=row.name, when=when)
        who = texts("rec_desk.by_you" if int(by[1]) == ctx.member.id else "rec_desk.by_other")
        return texts("rec_desk.last_taken_down_by", model=row.name, when=when, who=who)
    if found.last_status == "refused":
        return texts("rec_desk.last_refused", model=found.last, why=worded(texts, found.last_why))
    if found.last_status == "retired":
        return texts("rec_desk.last_retired", model=found.last)
    return texts("rec_desk.last_candidate", model=found.last)


def _checked(texts: Texts, figures: Mapping[str, Any]) -> list[str]:
    """How the newest model did on the newest week; nothing where it was not measured."""
    reached = _reached(figures)
    if not reached:
        return []
    gate = figures.get("figures", figures)
    others = [
        texts(f"rec_desk.checked_{name}", value=f"{reached[name]:.3f}")
        for name in ("running", "popular")
        if reached.get(name) is not None
    ]
    values = "，".join((texts("rec_desk.checked_new", value=f"{reached['new']:.3f}"), *others))
    return [texts("rec_desk.checked", members=gate.get("n", 0), values=values)]


def _reached(figures: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the gate measured: "new", "running", "popular" -> NDCG@10; {} where it did not."""
    gate = figures.get("figures", figures)
    reached = gate.get("ndcg10") if isinstance(gate, Mapping) else None
    return reached if isinstance(reached, Mapping) and reached.get("new") is not None else {}


def missing(texts: Texts, what: Sequence[tuple[str, int, int]]) -> str:
    """Of what there is too little, in words."""
    return "；".join(
        texts(key, have=have, need=need)
        for name, have, need in what
        if (key := f"rec_jobs.missing_{name}") in texts.keys()  # noqa: SIM118 - no mapping
    )


def worded(texts: Texts, why: str) -> str:
    """A reason in one word ("worse_than_popular") as a sentence; others as they are."""
    key = f"rec_jobs.why_{why}"
    return texts(key) if key in texts.keys() else why  # noqa: SIM118 - no mapping


async def _shown(ctx: Context) -> str:
    """How many lists there were in a week, by ranker."""
    counts = await ctx.store.recommendations.counts(ctx.at - 7 * _DAY_S, ctx.at)
    sums: dict[str, int] = {}
    fetched = 0
    for surface, ranker, arm, lists in counts:
        if surface == "api":
            # A shop took them; whether somebody saw them nobody tells us.
            fetched += lists
            continue
        kind = arm if arm in ("holdout", "fallback") else ranker
        sums[kind] = sums.get(kind, 0) + lists
    order = sorted(sums, key=lambda kind: (-sums[kind], kind))
    parts = "、".join(f"{_ranker(ctx.texts, kind)} {sums[kind]:,}" for kind in order)
    told = [
        ctx.texts("rec_desk.shown", lists=f"{sum(sums.values()):,}", parts=parts)
        if sums
        else ctx.texts("rec_desk.shown_none")
    ]
    if fetched:
        told.append(ctx.texts("rec_desk.fetched", lists=f"{fetched:,}"))
    return "".join(told)


def _ranker(texts: Texts, name: str) -> str:
    key = f"ranker.{name}"
    return texts(key) if key in texts.keys() else name  # noqa: SIM118 - no mapping


async def _tests(ctx: Context) -> list[str]:
    """The tests that run, a line each."""
    return [
        ctx.texts("rec_desk.test_line", **_about(ctx.texts, one))
        for one in await ctx.store.rec_tests.running()
    ]


def _about(texts: Texts, one: RecTest) -> dict[str, Any]:
    return {
        "a": _ranker(texts, one.a),
        "b": _ranker(texts, one.b),
        "method": texts(f"rec_test.{one.method}"),
        "share": f"{one.share * 100:.4g}%",
        "since": f"{datetime.fromtimestamp(one.started_at, SHANGHAI):%m-%d}",
    }


# Models


async def _train(message: Message, ctx: Context, service: Recommendations) -> Reply:
    done = await service.train()
    if done in (Done.STARTED, Done.DONE):
        await changes.audited(message, ctx, "rec.train")
    if done is Done.RUNNING:
        return Reply.text(ctx.texts("rec_desk.train_running"))
    if done is Done.OFF:
        return Reply.text(ctx.texts("rec_desk.off"))
    if done is Done.NOTHING:
        return Reply.text(ctx.texts("rec_desk.train_nothing"))
    return Reply.text(ctx.texts("rec_desk.train_started"))


async def _roll_back(ctx: Context, typed: str) -> Reply:
    """Ask first, with the model by name that would come back."""
    texts = ctx.texts
    # By its row: a model whose file is broken is not in memory, and is the one to leave.
    live, before = await _live(ctx), await _before(ctx)
    if not live or before is None:
        return Reply.text(texts("rec_desk.rollback_none"))
    question = texts(
        "rec_desk.rollback_ask", model=live, before=before.name, about=_about_model(texts, before)
    )
    if typed and typed != before.name:
        question = f"{texts('rec_desk.rollback_named', word=changes.short(typed))}\n{question}"
    return await changes.ask(ctx, "rec.rollback", {"model": live, "to": before.name}, question)


async def _live(ctx: Context) -> str:
    row = await ctx.store.rec_models.live()
    return "" if row is None else row.name


async def _before(ctx: Context) -> Model | None:
    """The model that served before the one that is live; None where there is none."""
    models = ctx.store.rec_models
    live = await models.live()
    if live is None:
        return None
    served = (
        one
        for one in await models.newest(_MODELS)
        if one.status == "retired" and one.live_at is not None and one.id < live.id
    )
    return next(served, None)


def _about_model(texts: Texts, row: Model) -> str:
    """When it served and what the gate measured, as far as that is known."""
    days = " 到 ".join(
        f"{datetime.fromtimestamp(at, SHANGHAI):%m-%d %H:%M}"
        for at in (row.live_at, row.ended_at)
        if at is not None
    )
    told = [texts("rec_desk.rollback_served", days=days)]
    reached = _reached(_kept(row.metrics))
    if reached:
        values = "，".join(
            texts(f"rec_desk.before_{name}", value=f"{reached[name]:.3f}")
            for name in ("new", "popular")
            if reached.get(name) is not None
        )
        told.append(texts("rec_desk.rollback_checked", values=values))
    return "，".join(told)


@changes.executes("rec.rollback")
async def _rolled_back(message: Message, ctx: Context, args: Mapping[str, Any]) -> Reply:
    texts, service = ctx.texts, ctx.recommendations
    if service is None:
        return Reply.text(texts("rec_desk.off"))
    was, now = str(args["model"]), await _live(ctx)
    by = f"member:{ctx.member.id}"
    left = next(
        (one for one in await ctx.store.rec_models.newest(_MODELS) if one.name == was), None
    )
    if now != was and left is not None and now == args.get("to") and left.why.endswith(f" {by}"):
        # The same message again: it went back, and died before it was written down.
        await changes.audited(message, ctx, "rec.rollback", f"model:{now}", f"{was} -> {now}")
        return Reply.text(texts("rec_desk.rollback_done", was=was, model=now))
    if now != was:
        # Somebody else was first.
        return Reply.text(texts("rec_desk.rollback_changed", model=now or texts("ranker.popular")))
    done, name = await service.roll_back(by, ctx.at)
    wanted_back = str(args.get("to", name))
    if done is not Done.DONE:
        return Reply.text(texts("rec_desk.rollback_broken", model=wanted_back))
    await changes.audited(message, ctx, "rec.rollback", f"model:{name}", f"{was} -> {name}")
    if name != wanted_back:
        return Reply.text(
            texts("rec_desk.rollback_further", was=was, model=name, broken=wanted_back)
        )
    return Reply.text(texts("rec_desk.rollback_done", was=was, model=name))


async def _resume(message: Message, ctx: Context, service: Recommendations) -> Reply:
    done = await service.resume(f"member:{ctx.member.id}", ctx.at)
    if done is not Done.DONE:
        return Reply.text(ctx.texts("rec_desk.resume_nothing"))
    await changes.audited(message, ctx, "rec.resume")
    return Reply.text(ctx.texts("rec_desk.resume_done"))


# Tests


def wanted(typed: str) -> Wanted | str:
    """ "ours item_item 20% 交错" in any order of what is not a ranker; else what is wrong:
    "rankers", "same", "share" or "word:…"."""
    rankers: list[str] = []
    share, method = _SHARE, "split"
    for word in typed.replace("％", "%").replace("：", ":").split():
        plain = folded(word)
        if plain in _INTERLEAVE:
            method = "interleave"
        elif plain in _SPLIT or plain in ("对", "vs", "和"):
            continue
        elif (ranker := _RANKERS.get(plain)) is not None:
            rankers.append(ranker)
        elif (found := _PERCENT.fullmatch(plain)) is not None:
            share = float(found[1]) / 100.0
        else:
            return f"word:{word}"
    if len(rankers) != 2:
        return "rankers"
    if rankers[0] == rankers[1]:
        return "same"
    if not _LEAST_SHARE <= share <= 1.0:
        return "share"
    return Wanted(rankers[0], rankers[1], share, method)


async def _test(message: Message, ctx: Context, service: Recommendations, typed: str) -> Reply:
    texts, found = ctx.texts, wanted(typed)
    if isinstance(found, str):
        problem, _, word = found.partition(":")
        if problem == "word":
            return Reply.text(texts("rec_desk.test_word", word=changes.short(word)))
        if problem == "share":
            return Reply.text(texts("rec_desk.test_share"))
        key = "rec_desk.test_same" if problem == "same" else "rec_desk.test_usage"
        return Reply.text(texts(key))
    status = service.status()
    if not status.model:
        return Reply.text(texts("rec_desk.test_no_model"))
    if status.fallback:
        return Reply.text(texts("rec_desk.test_fallback"))
    by = f"member:{ctx.member.id}"
    tests = ctx.store.rec_tests
    begun = await tests.begin(*found[:2], found.method, found.share, by, ctx.at, message.key)
    if begun is None:
        open_ = next((one for one in await tests.running() if one.method == found.method), None)
        if open_ is None:
            return Reply.text(texts("rec_desk.test_again"))
        return Reply.text(texts("rec_desk.test_open", **_about(texts, open_)))
    detail = f"{begun.a} {begun.b} {begun.share:g} {begun.method}"
    await changes.audited(message, ctx, "rec.test", f"rec_test:{begun.id}", detail)
    return Reply.text(texts(f"rec_desk.begun_{begun.method}", **_shown_about(texts, begun)))


def _shown_about(texts: Texts, one: RecTest) -> dict[str, Any]:
    told = _about(texts, one)
    return {name: told[name] for name in texts.placeholders(f"rec_desk.begun_{one.method}")}


async def _stop(message: Message, ctx: Context, typed: str) -> Reply:
    """End the test that runs and say what was found; of two, the one that is named."""
    texts, tests = ctx.texts, ctx.store.rec_tests
    mark = message.key[:12]
    for one in await tests.newest(_LOOKED):
        kept = _kept(one.verdict)
        if one.ended_at is not None and kept.get("by") == mark:
            await changes.audited(message, ctx, "rec.stop", f"rec_test:{one.id}", kept["better"])
            return Reply.text(_told(texts, one, kept))
    running = await tests.running()
    word = folded(typed)
    if not running:
        return Reply.text(texts("rec_desk.stop_none"))
    if word and word not in _INTERLEAVE | _SPLIT:
        return Reply.text(texts("rec_desk.stop_word", word=changes.short(typed)))
    if word:
        method = "interleave" if word in _INTERLEAVE else "split"
        running = [one for one in running if one.method == method]
    if not running:
        return Reply.text("\n".join([texts("rec_desk.stop_other"), *await _tests(ctx)]))
    if len(running) > 1:
        return Reply.text("\n".join([*await _tests(ctx), texts("rec_desk.stop_which")]))
    test = running[0]
    kept = await _newest_verdict(ctx, test)
    kept["by"] = mark
    ended = await tests.end(test.id, ctx.at, json.dumps(kept))
    if ended is None:
        return Reply.text(texts("rec_desk.stop_none"))
    await changes.audited(message, ctx, "rec.stop", f"rec_test:{test.id}", kept["better"])
    return Reply.text(_told(texts, ended, kept))


async def _newest_verdict(ctx: Context, test: RecTest) -> dict[str, Any]:
    """What it found, worked out beside the bot; where that takes too long, in the night; where it
    is too young for that, here."""
    fresh = ctx.insights is not None and await ctx.insights.recommended(_WAIT_S)
    judged = await ctx.store.rec_tests.get(test.id)
    kept = _kept("" if judged is None else judged.verdict)
    if "members" not in kept:
        return await _judged(ctx, test)
    return kept if fresh else kept | {"earlier": True}


async def _judged(ctx: Context, test: RecTest) -> dict[str, Any]:
    """What a test found, worked out from all that it showed, on a reader's thread."""

    def found(places: Iterable[Any]) -> dict[str, Any]:
        # Arrays and distributions: a bot that judges no test need not load them.
        from insights import rec_report

        its = rec_report.Test(test.id, test.a, test.b, test.method, test.salt, test.share)
        return rec_report.found_of(places, its).kept()

    store = ctx.store
    return await store.rec_outcomes.read(
        found, test.started_at, ctx.at, opt_in=store.consents.opt_in
    )


def _kept(text: str) -> dict[str, Any]:
    """JSON that the store keeps as text; {} for none."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _told(texts: Texts, one: RecTest, kept: Mapping[str, Any]) -> str:
    """What a test found, in words."""
    a, b = _ranker(texts, one.a), _ranker(texts, one.b)
    lines = [texts("rec_desk.ended", **{**_named(texts, one), "a": a, "b": b})]
    if "ctr" in kept:
        first, second = (said(value, "share") for value in kept["ctr"])
        lines.append(texts("rec_desk.ended_ctr", a=a, b=b, first=first, second=second))
    if "prefer" in kept:
        more, less, ties = kept["prefer"]
        lines.append(texts("rec_desk.ended_prefer", a=a, b=b, more=more, less=less, ties=ties))
    if kept.get("why") == "few":
        on_a, on_b = kept["members"]
        least = kept.get("least", 0)
        if one.method == "interleave":
            clicked = sum(kept.get("prefer", ()))
            few = texts("rec_desk.ended_few_clicked", members=on_a, clicked=clicked, least=least)
        else:
            few = texts("rec_desk.ended_few", a=a, b=b, first=on_a, second=on_b, least=least)
        lines.append(few)
    elif kept.get("why"):
        lines.append(texts("rec_desk.ended_unequal"))
    elif kept.get("better"):
        lines.append(texts("rec_desk.ended_better", better=_ranker(texts, str(kept["better"]))))
    else:
        lines.append(texts("rec_desk.ended_unsure"))
    if kept.get("earlier"):
        lines.append(texts("rec_desk.ended_earlier"))
    return "\n".join(lines)


def _named(texts: Texts, one: RecTest) -> dict[str, str]:
    end = one.ended_at or one.started_at
    return {
        "method": texts(f"rec_test.{one.method}"),
        "time": said(end - one.started_at, "seconds"),
    }
