"""500 members answer a quiz at once, and the process is killed while they do.

A served process, a fake WeChat, HTTP between them. Every member follows a script of right
and wrong answers; whoever hears nothing asks again with 答题 and answers the question that
is shown. Afterwards the file is compared with what the scripts make, and the prizes with
what the places make; they are paid by a process that is killed, too.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from handlers.quiz_text import read
from sandbox.fake_wechat import FakeWeChat
from store import Store
from store.offers import NewOffer
from tests.proofs.world import ACCOUNT, OPERATOR, TEXTS, Served, until

MEMBERS = 500
WRITTEN = """开学测验
速度加分 0%
奖品 1: 100积分 + 券 早鸟
奖品 2-10: 50积分
参与: 5积分
每题 10分 600秒
1. 哪些是偶数？
*A. 二
B. 三
*C. 四
2. 首都？（20分）
答案：北京 / 北京市"""
POINTS = (10, 20)
RIGHT = ("ca", "北京市")
WRONG = ("AB", "南京")
SHOWN = re.compile(r"第 (\d)/2 题")
OVER = "《开学测验》成绩"


def prize(rank: int, score: int) -> int:
    """The points of a place, as the quiz promises them."""
    placed = 100 if rank == 1 else 50 if rank <= 10 else 0
    return 5 + (placed if score else 0)


@dataclass
class Contest:
    """The members and what they mean to answer. heard: replies so far."""

    fake: FakeWeChat
    rng: random.Random
    plans: dict[str, tuple[bool, ...]] = field(default_factory=dict)
    heard: int = 0

    async def member(self, number: int) -> None:
        """答题, 开始, then answer whatever question is shown, until the card comes."""
        openid = f"o_pupil_{number:03}"
        plan = self.plans[openid] = tuple(self.rng.random() < 0.7 for _ in POINTS)
        await asyncio.sleep(self.rng.random())
        said = ""
        while OVER not in said:
            shown = SHOWN.search(said)
            if shown is None:
                word = "开始" if "「开始」" in said else "答题"
                said = (await self.fake.send_text(openid, word)).text
            else:
                place = int(shown[1]) - 1
                word = (RIGHT if plan[place] else WRONG)[place]
                said = (await self.fake.send_text(openid, word)).text
            self.heard += bool(said)
            await asyncio.sleep(0.1 if said else 0.5)


async def prepared(served: Served) -> None:
    """The file as an operator would have it before the evening: an offer and a draft."""
    store = Store(served.path)
    await store.open()
    offer = NewOffer(word="早鸟", title="早鸟券", kind="amount", value=500, inventory=3)
    await store.offers.create(offer, time.time(), "member:1")
    await store.quizzes.create(read(WRITTEN), time.time(), "member:1")
    await store.close()


async def test_five_hundred_answer_at_once_through_a_kill_and_are_paid_once(
    tmp_path: Path,
) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    fake = FakeWeChat(ACCOUNT, retry_pause_s=0.5)
    served = Served(tmp_path, api_base=await fake.start())
    fake.webhook = served.webhook
    contest = Contest(fake, random.Random(seed))
    started = time.monotonic()
    await prepared(served)
    try:
        await asyncio.to_thread(served.start)
        await asyncio.to_thread(served.wait_ready)
        await fake.send_text(OPERATOR, "/quiz start 1 60")
        assert "开始了" in (await fake.send_text(OPERATOR, "确认")).text
        pupils = [asyncio.create_task(contest.member(n)) for n in range(MEMBERS)]
        await until(lambda: contest.heard > MEMBERS, "members to be in the middle of it", 60.0)
        # What was told was written before, but the write may be of the start alone.
        await until(lambda: served.rows("select 1 from quiz_answers limit 1"), "an answer", 30.0)
        await asyncio.to_thread(served.kill)
        answered = served.rows("select count(*) from quiz_answers")[0][0]
        await asyncio.to_thread(served.start)
        await asyncio.wait_for(asyncio.gather(*pupils), 40.0)
        await fake.send_text(OPERATOR, "/quiz close 1")
        assert "已结束" in (await fake.send_text(OPERATOR, "确认")).text
        # Killed while it pays, or just before or after: that must not matter.
        await until(lambda: served.rows("select 1 from quiz_prizes limit 1"), "a prize", 10.0, 0.0)
        await asyncio.to_thread(served.kill)
        paid = served.rows("select count(*) from quiz_prizes")[0][0]
        await asyncio.to_thread(served.start)
        settled = "select paid_at from quizzes where paid_at is not null"
        await until(lambda: served.rows(settled), "the prizes", 20.0)
        seconds = time.monotonic() - started
    finally:
        await asyncio.to_thread(served.stop)
        await fake.close()
    figures = {
        "answers at the kill": answered,
        "prizes at the second kill": paid,
        "replies": contest.heard,
        "seconds": round(seconds, 1),
    }
    print(json.dumps(figures))
    assert 0 < answered < len(POINTS) * MEMBERS
    ranked_right(contest, served)
    paid_once(served)
    told_once(fake, served)


def ranked_right(contest: Contest, served: Served) -> None:
    """Every member answered each question once, as planned; places follow from that."""
    rows = served.rows(
        "select external_id, score, elapsed_s, started_at, member_id, rank, finished_at "
        "from quiz_attempts join identities using (member_id)"
    )
    model = {
        openid: sum(points for points, right in zip(POINTS, plan, strict=True) if right)
        for openid, plan in contest.plans.items()
    }
    assert {row[0]: row[1] for row in rows} == model
    assert all(row[6] is not None for row in rows)
    order = sorted(rows, key=lambda row: (-model[row[0]], row[2], row[3], row[4]))
    assert [row[5] for row in order] == list(range(1, MEMBERS + 1))
    assert served.rows("select count(*) from quiz_answers") == [(len(POINTS) * MEMBERS,)]


def paid_once(served: Served) -> None:
    """One transfer for each place, of the points that place wins; one coupon, for the first."""
    transfers = Counter(
        served.rows(
            "select member_id, amount from point_transfers join point_postings "
            "on transfer_id = id where reason = 'quiz' and member_id is not null"
        )
    )
    promised = Counter(
        (member_id, prize(rank, score))
        for member_id, rank, score in served.rows(
            "select member_id, rank, score from quiz_attempts"
        )
    )
    assert transfers == promised
    assert served.rows("select sum(balance) from point_accounts") == [
        (sum(points for _, points in promised),)
    ]
    coupons = "select rank, p.note from quiz_prizes as p where coupon_id is not null"
    assert served.rows(coupons) == [(1, "")]
    assert served.rows("select count(*) from coupons") == [(1,)]


def told_once(fake: FakeWeChat, served: Served) -> None:
    """Nobody reads the result twice; who was not told has a push whose end is open."""
    mark = TEXTS("quiz.told", title="开学测验", rank=1, members=1, score=1, prize="").split("\n")[0]
    told = [
        sum(one.content.startswith(mark) for one in fake.members[openid].inbox)
        for openid in fake.members
        if openid != OPERATOR
    ]
    assert max(told) <= 1
    assert (
        served.rows("select message_key from sends group by message_key having count(*) > 1") == []
    )
