"""Privacy at the terminal: forgetting somebody everywhere, scanning for traces, the data map."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.terminal import FAILED, OK, CommandError, config_of_database, with_store

if TYPE_CHECKING:
    from bot.config import Config
    from bot.erasing import Places, Proof
    from store import Store
    from store.traces import Needle


def erase(args: argparse.Namespace) -> int:
    """`zhiqun erase`: exit code 1 when anything is left."""
    from bot.erasing import describe
    from bot.erasing import erase as erase_everywhere

    config = config_of_database(args)
    member = with_store(config, lambda store: _member(store, args.member))
    if not args.yes:
        try:
            answer = input(f"Forget member {member} for good? Type their number again: ")
        except EOFError:
            raise CommandError("nothing was erased; without a terminal, add --yes") from None
        if answer.strip() != str(member):
            raise CommandError("nothing was erased: that is another number")
    places = _places(config, args.also)

    async def work(store: Store) -> Proof:
        return await erase_everywhere(store, member, places, time.time(), "cli")

    proof = with_store(config, work)
    rows = {} if proof.erased is None else proof.erased.rows
    counted = ", ".join(f"{count} {table}" for table, count in rows.items() if count)
    print(f"member {member} erased: {counted or 'nothing was left'}")
    freed = proof.freed
    print(f"backups: taken out of {freed.changed} of {freed.files} files")
    for fault in freed.faults:
        print(f"backups: could not be read: {fault}")
    if freed.unfinished:
        print("backups: one is being made right now; the night takes them out of it")
    if not proof.unlearned:
        print("models: one is being trained right now; the night takes them out of all")
    if proof.blanked:
        print(f"{proof.blanked} answers to others that repeated them taken out")
    if not proof.needles:
        print("They were forgotten before: what they wrote is not known, and not looked for.")
    print(f"searched for {proof.needles} ids, names and messages:")
    print("\n".join(describe(proof.scan)))
    return FAILED if proof.scan.left or proof.scan.unread or freed.faults else OK


async def _member(store: Store, name: str) -> int:
    """The member meant; also one who was erased in the chat, whom backups may still hold."""
    from bot.carry import member_id

    if name.isdecimal() and len(name) < 19 and await store.erasures.of(int(name)):
        return int(name)
    return await member_id(store, name)


def privacy(args: argparse.Namespace) -> int:
    """`zhiqun privacy map`, `scan [FILE]`, `budget`."""
    if args.what == "map":
        from bot.data_map import plain

        print(plain())
        return OK
    config = config_of_database(args)
    if args.what == "budget":
        return _budget(config)
    return _scan(config, args.file, args.also)


def _scan(config: Config, name: str, also: Sequence[Path]) -> int:
    from bot.erasing import describe, look

    needles = _needles(name)
    if not needles:
        raise CommandError("nothing to look for: give one id, name or sentence a line")
    places = _places(config, also)
    found = with_store(config, lambda store: look(store, needles, places))
    print("\n".join(describe(found)))
    return FAILED if found.left or found.unread else OK


def _needles(name: str) -> list[Needle]:
    """One a line; all are ids: wherever they stand they are found."""
    from store.traces import Needle

    if name in ("", "-"):
        text = sys.stdin.read()
    else:
        try:
            text = Path(name).read_text("utf-8-sig")
        except UnicodeDecodeError:
            raise CommandError(f"{name} is not UTF-8: save it as UTF-8") from None
    return [Needle("id", line.strip()) for line in text.splitlines() if line.strip()]


def _budget(config: Config) -> int:
    from store.noise_spent import WINDOW_S

    now = time.time()
    entries = with_store(config, lambda store: store.noise_spent.entries(now - WINDOW_S))
    spent: dict[str, float] = {}
    for one in entries:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.at))
        print(f"{day}  {one.audience:<24} {one.epsilon:<8g} {one.what}, by {one.by}")
        spent[one.audience] = spent.get(one.audience, 0.0) + one.epsilon
    budget = config.privacy.noise_epsilon
    for audience, epsilon in sorted(spent.items()):
        print(f"{audience}: {epsilon:g} of {budget:g} spent in 28 days")
    if not entries:
        print(f"nothing was published in 28 days; each audience may be told {budget:g}")
    return OK


def _places(config: Config, also: Sequence[Path]) -> Places:
    from bot.erasing import places_of

    for path in also:
        if not path.exists():
            raise CommandError(f"{path} is not there; nothing was done")
    return places_of(config.store.path, config.store.backups, config.sentiment.file, also)
