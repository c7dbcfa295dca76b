"""What an operator carries in and out at the terminal: files, backups, a member's own data."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bot.terminal import FAILED, OK, CommandError, config_of, config_of_database, with_store

if TYPE_CHECKING:
    from bot.config import Config
    from bot.intake import Imported
    from store import Store


def load(args: argparse.Namespace) -> int:
    """`zhiqun import`: each file whole or not at all; only `docs` takes several."""
    if args.what == "codes" and len(args.file) != 2:
        raise CommandError("say for which offer: zhiqun import codes WORD FILE.csv")
    if args.what not in ("docs", "codes") and len(args.file) > 1:
        raise CommandError("one file at a time, please; only `import docs` takes several")
    if args.partial and args.what != "events":
        raise CommandError("--partial is for events only: other files are imported whole")
    config = config_of(args)
    if args.what == "docs":
        return _load_documents(config, args.file)
    if args.what == "events":
        return _load_events(config, args.file[0], args.partial)
    if args.what == "items":
        return _load_items(config, args.file[0])
    if args.what == "offers":
        from bot.carry_coupons import load_offers

        return load_offers(config, args.file[0])
    if args.what == "codes":
        from bot.carry_coupons import load_codes

        return load_codes(config, str(args.file[0]), args.file[1])
    if args.what == "quiz":
        from bot.carry_quiz import load_quiz

        return load_quiz(config, args.file[0])
    return _load_faq(config, args.file[0])


def _load_items(config: Config, path: Path) -> int:
    from bot.transfer import read_items

    items, now = read_items(path), time.time()

    async def put(store: Store) -> int:
        count = await store.catalogue.put(items, now)
        await store.audit.add(now, "cli", "import.items", detail=f"{count} items")
        return count

    print(f"{with_store(config, put)} items imported")
    return OK


def _load_faq(config: Config, path: Path) -> int:
    from bot.transfer import BadFile, line_of, read_faq
    from store.content import QuestionTaken

    entries, now = read_faq(path), time.time()

    async def renew(store: Store) -> tuple[int, int]:
        added, renewed = await store.content.import_faq(entries, now)
        detail = f"{added} added, {renewed} renewed"
        await store.audit.add(now, "cli", "import.faq", detail=detail)
        return added, renewed

    try:
        added, renewed = with_store(config, renew)
    except QuestionTaken as taken:
        raise BadFile(
            path,
            [
                f"line {line_of(path, taken.question)}: “{taken.question}” belongs to entry "
                f"{taken.faq_id} already: take it out here, or /faq del {taken.faq_id} in the chat"
            ],
        ) from taken
    print(f"{added} entries added, {renewed} renewed")
    return OK


def _load_documents(config: Config, paths: Sequence[Path]) -> int:
    from bot.reading import read_document
    from bot.transfer import BadFile
    from knowledge.documents import MAX_BYTES, BadDocument
    from store.documents import NewDocument

    async def work(store: Store) -> int:
        # All are read before the first is stored: a bad one among them leaves nothing behind.
        read = []
        for path in paths:
            if path.stat().st_size > MAX_BYTES:
                raise BadFile(path, [f"is larger than {MAX_BYTES >> 20} MB; split it"])
            data = await asyncio.to_thread(path.read_bytes)
            try:
                read.append(NewDocument.of(await read_document(path.name, data), data))
            except BadDocument as bad:
                raise BadFile(path, [str(bad)]) from bad
        for document in read:
            now = time.time()
            number, changed = await store.documents.put(document, now, "cli")
            if changed:
                await store.audit.add(now, "cli", "import.docs", f"document:{number}")
            state = "imported" if changed else "is there already, unchanged"
            print(f"{document.name}: {len(document.passages)} passages, {state}")
        return len(read)

    with_store(config, work)
    return OK


def _load_events(config: Config, path: Path, partial: bool) -> int:
    from bot.intake import import_events

    async def work(store: Store) -> Imported:
        done = await import_events(store, path, time.time(), partial)
        detail = f"{done.stored} stored, {done.repeated} repeated"
        await store.audit.add(time.time(), "cli", "import.events", detail=detail)
        return done

    done = with_store(config, work)
    for fault in done.faults:
        print(f"line {fault.line}: {fault.pointer} {fault.detail}", file=sys.stderr)
    if done.refused > len(done.faults):
        print("… and more; mend these first", file=sys.stderr)
    print(f"{done.stored} events stored, {done.repeated} were there, {done.refused} refused")
    return FAILED if done.refused else OK


def export(args: argparse.Namespace) -> int:
    """`zhiqun export`."""
    from bot.transfer import faq_csv, items_csv, items_jsonl
    from store.pseudonyms import pseudonym

    config = config_of_database(args)
    if args.what == "member" and not args.member:
        raise CommandError("say whose: zhiqun export member FILE --member NUMBER")
    if args.group and args.what != "edges":
        raise CommandError("--group is for edges only: leave it out")

    async def work(store: Store) -> str | None:
        # The audit row comes first: rather one too many than a copy nobody knows of.
        member = await member_id(store, args.member) if args.what == "member" else 0
        target = f"member:{member}" if member else ""
        await store.audit.add(time.time(), "cli", f"export.{args.what}", target)
        if args.what == "faq":
            return faq_csv(await store.content.faqs())
        if args.what == "items":
            items = await store.catalogue.items()
            lines = args.file.endswith((".jsonl", ".ndjson"))
            return items_jsonl(items) if lines else items_csv(items)
        if args.what == "member":
            data = await store.members.export(member) or {}
            return json.dumps(data, ensure_ascii=False, indent=1) + "\n"
        called: Callable[[int], int | str] = int
        if not args.numbers:
            called = partial(pseudonym, await store.pseudonyms.key())
        if args.what == "coupons":
            await _export_coupons(store, args.file, called)
            return None
        if args.what == "insights":
            from bot.carry_insights import export as export_features

            count = await export_features(store, args.file, called)
            print(f"{count} members written", file=sys.stderr)
            return None
        if args.what == "edges":
            await _export_edges(store, config, args.file, args.group, called)
            return None
        rows = _events(store) if args.what == "events" else store.interactions.page
        await _export_rows(rows, args.what, args.file, None if args.numbers else called)
        return None

    text = with_store(config, work)
    if text is None:
        return OK
    if args.file == "-":
        sys.stdout.write(text)
    else:
        with private_file(args.file) as file:
            file.write(text)
        print(f"{args.file} written")
    return OK


def private_file(name: str) -> TextIO:
    """A file for members' words: like the database, only its owner may read it."""
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    # newline="": CSV brings its own line ends.
    return os.fdopen(handle, "w", encoding="utf-8", newline="")


def _events(store: Store) -> Callable[[int], Awaitable[list[dict[str, Any]]]]:
    from dataclasses import asdict

    async def page(after: int) -> list[dict[str, Any]]:
        rows = [asdict(event) for event in await store.events.page(after)]
        for row in rows:
            # Under which name somebody waits to be known: an openid, perhaps.
            del row["who"]
        return rows

    return page


async def _export_coupons(store: Store, name: str, called: Callable[[int], int | str]) -> None:
    from bot.carry_coupons import export

    out = sys.stdout if name == "-" else private_file(name)
    try:
        count = await export(store, out, time.time(), called)
    finally:
        if out is not sys.stdout:
            out.close()
    print(f"{count} coupons written", file=sys.stderr)


async def _export_edges(
    store: Store, config: Config, name: str, group: str, called: Callable[[int], int | str]
) -> None:
    from bot.carry_groups import export_edges

    count = await export_edges(store, config, name, group, time.time(), called)
    print(f"{count} edges written", file=sys.stderr)


async def _export_rows(
    page: Callable[[int], Awaitable[list[dict[str, Any]]]],
    what: str,
    name: str,
    called: Callable[[int], int | str] | None,
) -> None:
    """A log as NDJSON, page by page: it may be larger than memory. called: what members are
    called instead of by number; None: by number."""
    out = sys.stdout if name == "-" else private_file(name)
    count = after = 0
    try:
        while rows := await page(after):
            for row in rows:
                if called is not None and row["member_id"] is not None:
                    row["member_id"] = called(row["member_id"])
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += len(rows)
            after = rows[-1]["id"]
    finally:
        if out is not sys.stdout:
            out.close()
    print(f"{count} {what} written", file=sys.stderr)


def backup(args: argparse.Namespace) -> int:
    """`zhiqun backup`."""
    config = config_of_database(args)
    if args.file.exists():
        raise CommandError(f"{args.file} is there already and was left as it is; choose another")

    async def work(store: Store) -> None:
        await store.audit.add(time.time(), "cli", "backup")
        await store.backup(args.file)

    with_store(config, work)
    print(f"{args.file} written, {args.file.stat().st_size} bytes")
    return OK


async def member_id(store: Store, name: str) -> int:
    """The number of the member meant by a number or an openid. Errors: CommandError."""
    found = await store.members.find(name)
    if not found and name.isdecimal() and len(name) < 19 and await store.members.card(int(name)):
        found = [int(name)]
    if len(found) == 1:
        return found[0]
    raise CommandError(
        "no member has this number or openid; /who in the chat shows numbers"
        if not found
        else f"this openid belongs to several members: give a number of {found}"
    )


def key(args: argparse.Namespace) -> int:
    """`zhiqun key new NAME --scope … [--signed]`, `key list`, `key revoke ID`."""
    from bot.keys import new_key

    now = time.time()

    async def new(store: Store) -> str:
        row, secret = new_key(args.name, args.scope, args.per_minute, now, signed=args.signed)
        await store.keys.add(row)
        await store.audit.add(now, "cli", "key.new", f"key:{row.id}", " ".join(sorted(row.scopes)))
        if row.signing_secret is None:
            todo = "This is the only time it is shown: put it into the program's secrets."
            return f"{secret}\n{todo}"
        return (
            f"{secret}\n{row.signing_secret}\nThe key, and the secret that its requests must be "
            "signed with. This is the only time\nthey are shown: put both into the program's "
            "secrets, and send only the first."
        )

    async def revoke(store: Store) -> bool:
        if not await store.keys.revoke(args.name, now):
            return False
        await store.audit.add(now, "cli", "key.revoke", f"key:{args.name}")
        return True

    if args.what == "new":
        config = config_of(args)
        try:
            shown = with_store(config, new)
        except ValueError as error:
            raise CommandError(str(error)) from error
        print(shown)
        return OK
    config = config_of_database(args)
    if args.what == "revoke":
        if not with_store(config, revoke):
            raise CommandError("no key has this id, or it is revoked already: see zhiqun key list")
        print(f"{args.name} revoked; a running zhiqun refuses it within a second")
        return OK
    keys = with_store(config, lambda store: store.keys.all())
    for one in keys:
        state = "revoked" if one.revoked_at else f"{one.per_minute}/min"
        scopes = " ".join(sorted(one.scopes))
        name = f"{one.name} (signed)" if one.signing_secret else one.name
        print(f"{one.id}  {state:<10} {_date(one.last_used_at)}  {name}: {scopes}")
    print(f"{len(keys)} keys")
    return OK


def _date(at: float | None) -> str:
    if at is None:
        return "never used"
    return f"used {time.strftime('%Y-%m-%d', time.localtime(at))}"
