"""Must show: erased is erased, in the database, its log, logs, models, exports and backups.

A served bot, a member who leaves traces wherever there is room for some, `zhiqun erase` while the
bot runs; then every byte of every file is looked at by this test itself, and not by our scanner.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from insights.report import Figure, Listing, Report, Row, to_json
from recommender import artefact
from sandbox.fake_wechat import FakeWeChat
from scheduler.recommending import file_of
from store import Store
from store.events import NewEvent
from store.pseudonyms import pseudonym
from tests.proofs.world import ACCOUNT, OPERATOR, Served, until
from tests.recommender.arrays import fitted

LIN = "oPROOF_lin_forget_me_wholly_"
MEI = "oPROOF_mei_stays_with_us_ok_"
UNION = "uPROOF_union_of_lin_forget_me"
ORDER = "ORDER-LIN-20261121"
NAME = "林小满的小号"
SAID = ("我家住在三号楼二单元八零一", "我的猫叫团团今年六岁了", "孩子在三班能不能插班听课呢")
OTHERS = "公开课的回放在哪里可以看到"
PLACE = "mp:qun-of-proof"


async def _live(store: Store) -> tuple[int, str]:
    """What a job, the shop and a group know of Lin besides the chat; their number, pseudonym."""
    now = time.time()
    lin = (await store.members.meet("mp", LIN, now)).id
    await store.members.unite("mp", LIN, UNION)
    bought = NewEvent("shop-1", "purchase", now, lin, visitor="browser-of-lin", order_id=ORDER)
    await store.events.add([bought], now)
    quoted = Row(label="退款", details=(SAID[0], OTHERS))
    figure = Figure(name="mood", value=-0.9, unit="score", since=0.0, until=now)
    report = Report(
        kind="mood",
        made_at=now,
        since=0.0,
        until=now,
        lists=(Listing(name="angry", rows=(Row(member_id=lin, figures=(figure,)), quoted)),),
    )
    await store.interactions.put_finding("report:mood:", to_json(report), now)
    return lin, pseudonym(await store.pseudonyms.key(), lin)


async def _learned(store: Store, lin: int) -> tuple[str, bytes]:
    """A model that knows Lin and Mei serves; its name, and what it knows of Lin."""
    mei = (await store.members.meet("mp", MEI, time.time())).id
    model = fitted(members=2)
    model = replace(model, members=np.array(sorted((lin, mei)), np.int64))
    name = "20261120-041000"
    checksum = artefact.save(model, file_of(store.db.path, name))
    row = await store.rec_models.register(name, 1.0, 0.0, 1.0, checksum, '{"end": "live"}')
    await store.rec_models.go_live(row.id, 2.0)
    return name, model.member_vectors[int(mei < lin)].tobytes()


def _files(folder: Path) -> dict[str, bytes]:
    """Every file there is, and what is inside of packed ones."""
    found = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        if path.name == "words.cache":
            continue
        found[str(path.relative_to(folder))] = raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            found[f"{path.name} unpacked"] = gzip.decompress(raw)
    return found


def _holding(folder: Path, text: str) -> set[str]:
    """Files that hold a text, in any of the spellings of a file."""
    forms = {text.encode(), json.dumps(text)[1:-1].encode(), text.encode("utf-16-le")}
    return {name for name, raw in _files(folder).items() if any(form in raw for form in forms)}


async def _ask(served: Served, *command: str) -> tuple[int, str]:
    done = await asyncio.to_thread(served.ended, *command)
    return done.returncode, done.stdout + done.stderr


async def test_nothing_anywhere_holds_who_was_erased(tmp_path: Path) -> None:
    fake = FakeWeChat(ACCOUNT)
    served = Served(tmp_path, api_base=await fake.start(), store="backup_keep = 7")
    fake.webhook = served.webhook
    exports, models = tmp_path / "exports", tmp_path / "models"
    exports.mkdir()
    models.mkdir()
    try:
        served.start()
        served.wait_ready()
        for text in (*SAID, f"我叫 {NAME}", "上榜", "签到"):
            await fake.send_text(LIN, text)
        await fake.send_text(MEI, OTHERS)
        await fake.send_text(OPERATOR, f"/who {LIN}")
        await fake.send_text(OPERATOR, "/gaps")
        store = Store(served.path, durability="process")
        await store.open()

        async def logged() -> bool:
            return len(await store.interactions.page(0)) >= 9

        await until(logged, "all messages to be answered")
        lin, name = await _live(store)
        model, learned = await _learned(store, lin)
        await store.backup(tmp_path / "backups" / "zhiqun-20261120-041000.db")
        await store.close()
        # What operators carried out themselves, and what a careless service manager kept.
        assert (await _ask(served, "export", "member", str(exports / "lin.json"), "--member", LIN))[
            0
        ] == 0
        (exports / "week.csv").write_text(f"member,risk\n{name},0.7\n", "utf-8")
        (models / "own.npz").write_bytes(gzip.compress(json.dumps(SAID).encode()))
        traces = (LIN, UNION, ORDER, NAME, name, "browser-of-lin", *SAID)
        before = {text: _holding(tmp_path, text) for text in traces}
        assert all(before.values()), f"the test must have something to find: {before}"
        assert {"zhiqun.db-wal", "backups/zhiqun-20261120-041000.db"} <= set().union(
            *before.values()
        )

        assert [place for place, raw in _files(tmp_path).items() if learned in raw] == [
            f"models/{model}.npz"
        ]

        code, told = await _ask(served, "erase", str(lin), "--yes")
        assert code == 1, "what it cannot change is not proved"
        named = {line.split()[1].rstrip(":") for line in told.splitlines() if "FOUND" in line}
        assert named == {"lin.json", "week.csv", "own.npz"}, told
        held = set().union(*(_holding(tmp_path, text) for text in traces))
        assert held == {"exports/lin.json", "exports/week.csv", "own.npz unpacked"}, held

        assert not [place for place, raw in _files(tmp_path).items() if learned in raw]
        store = Store(served.path, durability="process")
        await store.open()
        live = await store.rec_models.live()
        await store.close()
        assert live is not None
        serving = artefact.load(models / f"{model}.npz", live.checksum)
        assert len(serving.members) == 1, "Mei is still known to it"

        for path in (*exports.iterdir(), *models.iterdir()):
            path.unlink()
        needles = tmp_path.parent / f"{tmp_path.name}-needles.txt"
        needles.write_text("\n".join(traces), "utf-8")
        code, told = await _ask(served, "privacy", "scan", str(needles))
        assert (code, told.splitlines()[-1]) == (0, "nothing of them is left"), told
        assert _holding(tmp_path, OTHERS), "and others are all there"
        assert len(_holding(tmp_path, MEI)) >= 2
        await fake.send_text(MEI, "签到")
    finally:
        served.stop()
        await fake.close()
    assert {text: _holding(tmp_path, text) for text in traces} == {text: set() for text in traces}
