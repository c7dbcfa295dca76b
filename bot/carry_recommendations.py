"""`zhiqun rec`: which model recommends, training one here and now, taking one back, its figures."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from bot.terminal import FAILED, OK, CommandError, config_of_database, with_store

if TYPE_CHECKING:
    from bot.config import Config
    from bot.rec_side import RecSide
    from scheduler.recommending import Outcome
    from store import Store

T = TypeVar("T")
Args = TypeVarTuple("Args")

_GOOD = ("live", "nothing")
_SAID = {
    "live": "it serves from now on",
    "refused": "it was no better, and the one before goes on serving",
    "too_little": "there is too little to learn from yet, so what is popular is recommended",
    "nothing": "there is nothing new to learn from",
    "failed": "it failed, and the one before goes on serving; the log says more",
}


def rec(args: argparse.Namespace) -> int:
    """`zhiqun rec`. Exit code 1: the training left no model, or there is none to go back to."""
    config = config_of_database(args)
    if args.what == "report":
        return _report(args)
    if args.what == "status":
        status = with_store(config, _status)
        _show(status, as_json=args.json)
        return OK
    if not config.recommendations.enabled:
        raise CommandError(
            "recommendations are switched off: set recommendations.enabled in the configuration"
        )
    if args.what == "train":
        done = _with_side(config, lambda side: side.trained())
        if done is None:
            raise CommandError(
                "another process is training, or this one was cut off: "
                "zhiqun rec status says how it ended; a running bot goes on within a minute"
            )
        _show_training(done, as_json=args.json)
        return OK if done.end in _GOOD else FAILED
    return _roll_back(config, as_json=args.json)


def _with_side(config: Config, work: Callable[[RecSide], Awaitable[T]]) -> T:
    """Do something with the models, beside a running bot if there is one."""
    from bot.crunch import Crunch
    from bot.links import Linker
    from bot.rec_side import RecSide
    from handlers.texts import Texts

    texts = Texts.load(config.texts.file)

    async def untold(member_id: int | None, words: str, key: bytes) -> bool:
        # Who typed the command reads how it ended; nobody else need hear of it.
        return True

    async def run(store: Store) -> T:
        crunch = Crunch()
        linker = Linker(
            store,
            public_url=config.server.public_url,
            allowed_hosts=config.links.allowed_hosts,
            now=time.time,
        )
        side = RecSide(
            *(config, store, texts, crunch, linker),
            items=dict,
            now=time.time,
            tell=untold,
        )
        try:
            return await work(side)
        finally:
            await side.close()
            await crunch.close()

    return with_store(config, run)


# What there is


async def _status(store: Store) -> dict[str, Any]:
    """What serves, and how the last training ended; times in Unix seconds, null for none."""
    from scheduler import rec_watch, recommending

    live = await store.rec_models.live()
    newest = await store.rec_models.newest(1)
    last = await recommending.last_outcome(store)
    return {
        "model": None if live is None else live.name,
        "made_at": None if live is None else live.made_at,
        "live_at": None if live is None else live.live_at,
        "learned_from": None if live is None else [live.since, live.until],
        "figures": {} if live is None else json.loads(live.metrics).get("figures", {}),
        "data_report": {} if live is None else json.loads(live.metrics).get("report", {}),
        "fallback": await rec_watch.fallback(store),
        "training": await recommending.unfinished(store),
        "last": None
        if last is None
        else {
            "end": last[0].end,
            "why": last[0].why,
            "model": last[0].name or None,
            "at": last[1],
            "missing": [
                {"what": what, "have": have, "need": need} for what, have, need in last[0].missing
            ],
        },
        "newest": None
        if not newest
        else {"model": newest[0].name, "status": newest[0].status, "why": newest[0].why},
    }


def _show(status: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(status, ensure_ascii=False, indent=1))
        return
    if status["model"] is None:
        print("serving: what is popular; no model is there yet")
    else:
        print(f"serving: {status['model']}, since {_moment(status['live_at'])}")
        since, until = status["learned_from"]
        print(f"learned from: {_moment(since)} to {_moment(until)}")
        for name, figure in status["figures"].items():
            print(f"  {name}: {json.dumps(figure, ensure_ascii=False)}")
        for name, wrong in status["data_report"].items():
            print(f"  in the data, {name}: {json.dumps(wrong, ensure_ascii=False)}")
    if status["fallback"]:
        print(f"everybody sees what is popular: {status['fallback']}")
        print("/rec resume in the chat ends that, and so does a new model that is certainly better")
    if status["training"]:
        print("a training was begun and has not ended yet")
    if status["last"] is not None:
        last = status["last"]
        why = f" ({last['why']})" if last["why"] else ""
        print(f"last training: {_moment(last['at'])}, {last['end']}{why}")
        for one in last["missing"]:
            print(f"  missing: {one['what']}, {one['have']} of {one['need']}")


def _show_training(done: Outcome, *, as_json: bool) -> None:
    if as_json:
        told = {
            "end": done.end,
            "model": done.name,
            "why": done.why,
            "missing": [list(one) for one in done.missing],
            "figures": done.figures,
        }
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return
    why = f" ({done.why})" if done.why else ""
    print(f"{done.name}: {_SAID[done.end]}{why}")
    for what, have, need in done.missing:
        print(f"  missing: {what}, {have} of {need}")


def _roll_back(config: Config, *, as_json: bool) -> int:
    """The model before serves again; a running bot notices within a second."""

    async def back(store: Store) -> str:
        from bot.recommending import go_back
        from scheduler.recommending import folder_of

        now = time.time()
        found = await go_back(store, folder_of(config.store.path), now, "rolled back by cli")
        if found is None:
            raise CommandError(
                "there is no model to go back to whose file can be used: zhiqun rec status"
            )
        await store.audit.add(now, "cli", "rec.rollback", f"model:{found.name}")
        return found.name

    name = with_store(config, back)
    print(json.dumps({"model": name}) if as_json else f"{name} serves again")
    return OK


class _Here:
    """Stands for the processes of `bot/crunch.py`: whoever waits is this terminal."""

    async def heavy(self, run: Callable[[*Args], T], *args: *Args) -> T:
        return run(*args)

    async def quick(self, run: Callable[[*Args], T], *args: *Args) -> T:
        return run(*args)


def _report(args: argparse.Namespace) -> int:
    """What came of it, up to now: what was worked out at night says nothing of today."""
    from bot.carry_insights import report
    from scheduler import rec_report

    config = config_of_database(args)

    async def anew(store: Store) -> None:
        opt_in = config.privacy.profiling == "opt-in"
        await rec_report.anew(store, _Here(), config.recommendations, time.time(), opt_in=opt_in)

    with_store(config, anew)
    return report(
        argparse.Namespace(
            config=args.config, what="rec", group="", json=args.json, csv="", chart=""
        )
    )


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
