"""/rec: what serves is told, orders run once, tests are begun, judged and ended."""

from __future__ import annotations

import json
import random
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from handlers.context import Context
from handlers.message import Message
from handlers.rec_desk import Wanted, wanted
from handlers.recommending import Done, Offer, Pick, Reason, Status, Surface, Wish
from insights.draws import side
from insights.report import Figure, Report, name_of, to_json
from knowledge import Knowledge
from store import Store
from store.rec_lists import NewList, Shown
from tests.handlers.group_operators import Desk
from tests.handlers.test_report_desk import Side

DAY = 86_400.0
MODELS = ("20261120-041000", "20261119-041000")


class Service:
    """A recommender that does as it is told, and remembers."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = Status(True, MODELS[0], 0.0, 0.0, "", (), "", "", "", False, {})
        self.done = Done.STARTED
        self.trained = 0
        self.broken: set[str] = set()

    async def offer(
        self,
        member_id: int,
        key: bytes,
        surface: Surface,
        count: int,
        wish: Wish,
        now: float,
        *,
        hurry: bool = False,
    ) -> Offer:
        return Offer()

    async def shown(
        self, offer: Offer, items: Collection[str] | None = None
    ) -> tuple[int, tuple[Pick, ...]]:
        return 0, ()

    async def take_back(self, number: int) -> None:
        return None

    async def recommend(
        self, member_id: int, key: bytes, surface: Surface, count: int, wish: Wish, now: float
    ) -> tuple[int, tuple[Pick, ...]]:
        return 0, ()

    async def why(self, member_id: int, item_id: str, now: float) -> tuple[Reason, ...]:
        return ()

    async def similar(self, item_id: str, count: int) -> tuple[Pick, ...]:
        return ()

    def status(self) -> Status:
        return self.now

    async def train(self) -> Done:
        self.trained += 1
        return self.done

    async def roll_back(self, by: str, now: float) -> tuple[Done, str]:
        for one in await self.store.rec_models.newest():
            if one.status == "retired" and one.name not in self.broken:
                while (
                    row := await self.store.rec_models.roll_back(now, f"rolled back by {by}")
                ) and (row.name != one.name):
                    pass
                self.now = replace(self.now, model=one.name)
                return Done.DONE, one.name
        return Done.NOTHING, ""

    async def resume(self, by: str, now: float) -> Done:
        was, self.now = self.now.fallback, replace(self.now, fallback="")
        return Done.DONE if was else Done.NOTHING


class RecDesk(Desk):
    service: Service | None
    side: Side | None = None

    async def context(self, message: Message) -> Context:
        ctx = await super().context(message)
        ctx.recommendations = self.service
        ctx.insights = self.side
        return ctx

    async def eye(self, text: str) -> str:
        return await self.say(text, "o_eye")

    async def models(self, *names: str, figures: str = "{}") -> None:
        """These served one after the other; the last one does now."""
        rows = self.store.rec_models
        for hour, name in enumerate(names):
            at = self.at - (len(names) - hour) * 3600.0
            row = await rows.register(name, at, 0.0, at, "", figures)
            await rows.go_live(row.id, at)

    async def served(self, **change: Any) -> None:
        assert self.service is not None
        self.service.now = replace(self.service.now, **change)


@pytest.fixture
async def desk(store: Store, loaded: Knowledge) -> RecDesk:
    """o_boss is an operator, o_eye an analyst, o_lin a member."""
    desk = RecDesk(store, loaded)
    desk.service = Service(store)
    await desk.reload()
    await desk.member()
    await desk.promote("o_boss")
    await desk.promote("o_eye", "analyst")
    return desk


# Words


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("ours item_item 20%", Wanted("ours", "item_item", 0.2, "split")),
        ("本店 对 热门", Wanted("ours", "popular", 0.2, "split")),
        ("ours popular 50％ 交错", Wanted("ours", "popular", 0.5, "interleave")),
        ("交错 5 LightFM 相似", Wanted("lightfm", "item_item", 0.05, "interleave")),
        ("ours popular 100", Wanted("ours", "popular", 1.0, "split")),
        ("ours", "rankers"),
        ("ours popular lightfm", "rankers"),
        ("ours 模型", "same"),
        ("ours popular 0%", "share"),
        ("ours popular 120%", "share"),
        ("ours popula 20%", "word:popula"),
        ("ours popular -5%", "word:-5%"),
    ],
)
def test_a_comparison_as_people_type_it(typed: str, found: Wanted | str) -> None:
    assert wanted(typed) == found


# Looking


async def test_the_status_says_what_serves_and_what_is_missing(desk: RecDesk) -> None:
    said = await desk.boss("/rec")
    assert "20261120-041000" in said
    assert "近 7 天还没有给出过推荐" in said
    await desk.served(model="", missing=(("members", 12, 30), ("events", 80, 200)))
    said = await desk.eye("/rec status")
    assert "大家看到的是热门" in said
    assert "成员 12 位，需要 30 位；行为 80 次" in said
    await desk.served(fallback="热门明显更好", training=True)
    said = await desk.eye("/rec")
    assert "热门明显更好。「/rec resume」" in said
    assert "正在训练" in said


async def test_a_model_that_was_refused_is_named_with_the_reason(desk: RecDesk) -> None:
    await desk.served(last="20261121-041000", last_status="refused", last_why="worse_than_popular")
    assert "20261121-041000 没有上线：在最近一周的数据上不如按热门推荐。" in await desk.boss("/rec")
    await desk.served(last_why="a sentence of its own")
    assert "没有上线：a sentence of its own。" in await desk.boss("/rec")


@pytest.mark.parametrize("wrapped", [False, True])
async def test_what_the_gate_measured_is_told(desk: RecDesk, wrapped: bool) -> None:
    gate = {"n": 84, "ndcg10": {"new": 0.3124, "popular": 0.1, "running": None}}
    await desk.served(figures={"end": "live", "figures": gate} if wrapped else gate)
    said = await desk.boss("/rec")
    assert "84 位成员" in said
    assert "新训练的 0.312，热门 0.100。" in said
    await desk.served(figures={"n": 0, "ndcg10": {"new": None}})
    assert "检验" not in await desk.boss("/rec")


async def test_the_lists_of_a_week_are_counted_by_ranker(desk: RecDesk) -> None:
    lin = await desk.member()
    for number, (ranker, arm) in enumerate([("ours", ""), ("popular", "holdout"), ("ours", "")]):
        await listed(desk, number, lin, ranker, arm=arm)
    assert "3 份推荐：本店模型 2、对照组（只看热门） 1。" in await desk.boss("/rec")


async def test_the_report_is_the_report(desk: RecDesk) -> None:
    for typed in ("/rec report", "/report rec", "/report 推荐"):
        assert "「推荐」还没有算出来" in await desk.boss(typed), typed
    figure = Figure(
        name="rec_ctr", value=0.12, unit="share", since=desk.at - 28 * DAY, until=desk.at,
        numerator=120, denominator=1000, low=0.1, high=0.14, n=1000, people=300,
        before=0.08, before_people=40,
    )  # fmt: skip
    kept = Report(
        kind="rec", made_at=desk.at, since=desk.at - 28 * DAY, until=desk.at, figures=(figure,)
    )
    await desk.store.interactions.put_finding(name_of("rec"), to_json(kept), desk.at)
    said = await desk.eye("/rec report")
    assert "推荐的点击率 12.0% [10.0～14.0%]（120 ÷ 1,000），对照组 8.0%" in said
    assert said.replace("/rec report", "") == (await desk.eye("/report rec"))
    why = await desk.eye("/why 1")
    assert "涉及 300 人" in why
    assert "对照组：8.0%" in why


async def test_lists_that_a_program_fetched_are_told_apart(desk: RecDesk) -> None:
    lin = await desk.member()
    await listed(desk, 1, lin, "ours")
    await listed(desk, 2, lin, "ours", surface="api")
    said = await desk.boss("/rec")
    assert "1 份推荐：本店模型 1。另有 1 份由接口取走" in said


# The report is fresh


def nothing_shown(desk: RecDesk) -> str:
    since = desk.at - 28 * DAY
    return to_json(Report(kind="rec", made_at=desk.at, since=since, until=desk.at, note="rec_none"))


async def put_report(desk: RecDesk) -> None:
    await desk.store.interactions.put_finding(name_of("rec"), nothing_shown(desk), desk.at)


async def test_a_report_is_worked_out_for_who_asks_unless_it_was_just_now(desk: RecDesk) -> None:
    side = desk.side = Side()

    async def count() -> bool:
        await put_report(desk)
        return True

    side.count = count
    said = await desk.boss("/rec report")
    assert "还没有给出过推荐" in said
    assert "/why" not in said, "there is no number to ask about"
    assert "重算" not in said
    assert "没有数字" in await desk.boss("/why 1")
    desk.later(minutes=9)
    await desk.boss("/report rec")
    assert side.counted == 1
    desk.later(minutes=2)
    await desk.boss("/report rec")
    assert side.counted == 2
    await desk.boss("/report week")
    assert side.counted == 2


async def test_what_takes_long_is_said_to_be_under_way(desk: RecDesk) -> None:
    desk.side = Side()
    assert "「推荐」正在算" in await desk.boss("/rec report")
    await put_report(desk)
    desk.later(minutes=11)
    assert "正在重算，过几分钟再发一次" in await desk.boss("/rec report")


# Orders


async def test_analysts_look_and_members_see_nothing(desk: RecDesk) -> None:
    for typed in ("/rec train", "/rec rollback", "/rec resume", "/rec stop", "/rec test a b"):
        assert await desk.eye(typed) == desk.texts("operator.read_only"), typed
    assert "比两种推荐这样写" in await desk.eye("/rec test")
    assert await desk.say("/rec") == desk.texts("operator.not_allowed")
    assert await desk.audits() == []


async def test_a_training_is_begun_and_written_down_once(desk: RecDesk) -> None:
    assert "开始训练了" in await desk.boss("/rec train", crash_first=True)
    assert await desk.audits() == [("rec.train", "")]
    assert desk.service is not None
    for done, says in (
        (Done.RUNNING, "正在训练"), (Done.OFF, "没有打开"), (Done.NOTHING, "没有可以训练的"),
    ):  # fmt: skip
        desk.service.done = done
        assert says in await desk.boss("/rec train")
    assert len(await desk.audits()) == 1


async def test_going_back_asks_first_and_goes_back_once(desk: RecDesk) -> None:
    gate = json.dumps({"figures": {"n": 84, "ndcg10": {"new": 0.3124, "popular": 0.1}}})
    await desk.models("20261118-041000", *reversed(MODELS), figures=gate)
    said = await desk.boss("/rec rollback")
    assert "换下「20261120-041000」，换回「20261119-041000」" in said
    assert "在用，上线前检验 NDCG@10：它 0.312，热门 0.100）" in said
    assert await live(desk) == "20261120-041000", "not before it is confirmed"
    # The process dies after the model was left: the message runs again.
    said = await desk.boss("确认", crash_first=True)
    assert "换好了：「20261120-041000」换下，现在用「20261119-041000」" in said
    assert await live(desk) == "20261119-041000"
    assert await desk.audits() == [("rec.rollback", "model:20261119-041000")]
    row = (await desk.store.audit.newest())[0]
    assert row.detail.startswith("20261120-041000 -> 20261119-041000")


async def live(desk: RecDesk) -> str:
    row = await desk.store.rec_models.live()
    return "" if row is None else row.name


async def test_what_another_operator_went_back_from_is_not_gone_back_from_again(
    desk: RecDesk,
) -> None:
    await desk.models("20261118-041000", *reversed(MODELS))
    await desk.boss("/rec rollback")
    await desk.store.rec_models.roll_back(desk.at, "rolled back by member:99")
    assert "没有换：在用的已经是「20261119-041000」" in await desk.boss("确认")
    assert await desk.audits() == []


async def test_with_nothing_to_go_back_to_nothing_is_asked(desk: RecDesk) -> None:
    assert "没有可以换回的模型" in await desk.boss("/rec rollback")
    await desk.models(MODELS[0])
    assert "没有可以换回的模型" in await desk.boss("/rec rollback")
    assert await desk.boss("确认") == desk.texts("operator.confirm_nothing")


async def test_a_model_whose_file_is_broken_can_be_left(desk: RecDesk) -> None:
    """It is live by its row and not in memory: just then going back is needed."""
    await desk.models(*reversed(MODELS))
    await desk.served(model="")
    assert "换下「20261120-041000」，换回「20261119-041000」" in await desk.boss("/rec rollback")
    assert "换好了" in await desk.boss("确认")
    assert await live(desk) == "20261119-041000"


async def test_the_model_before_may_be_broken_as_well_and_it_says_so(desk: RecDesk) -> None:
    assert desk.service is not None
    await desk.models("20261118-041000", *reversed(MODELS))
    desk.service.broken = {"20261119-041000"}
    await desk.boss("/rec rollback")
    said = await desk.boss("确认")
    assert "「20261119-041000」的文件读不出来，再往前换回了「20261118-041000」" in said
    assert await live(desk) == "20261118-041000"


async def test_where_no_file_can_be_read_nothing_changes(desk: RecDesk) -> None:
    assert desk.service is not None
    await desk.models(*reversed(MODELS))
    desk.service.broken = set(MODELS)
    assert "不能指定「20250101」" in await desk.boss("/rec rollback 20250101")
    assert "没有换：「20261119-041000」" in await desk.boss("确认")
    assert await live(desk) == "20261120-041000"
    assert await desk.audits() == []


async def test_what_was_taken_down_is_said_to_be_and_by_whom(desk: RecDesk) -> None:
    await desk.models(*reversed(MODELS))
    await desk.boss("/rec rollback")
    await desk.boss("确认")
    await desk.served(last=MODELS[0], last_status="refused", last_why="rolled back by member:2")
    said = await desk.boss("/rec")
    assert "20261120-041000 在 11-" in said
    assert "由你换下来了" in said
    assert "由另一位运营者换下来了" in await desk.eye("/rec")
    assert "rolled back" not in said


async def test_the_fall_back_is_ended_by_an_operator(desk: RecDesk) -> None:
    assert "没有退回热门" in await desk.boss("/rec resume")
    await desk.served(fallback="热门更好")
    assert "恢复按模型推荐" in await desk.boss("/rec resume")
    assert await desk.audits() == [("rec.resume", "")]


async def test_without_a_recommender_every_order_says_how_to_switch_it_on(desk: RecDesk) -> None:
    desk.service = None
    for typed in ("/rec", "/rec train", "/rec test ours popular"):
        assert "recommendations.enabled" in await desk.boss(typed)
    assert "没看懂「什么」。\n推荐：\n/rec " in await desk.boss("/rec 什么")


# Tests


async def listed(
    desk: RecDesk,
    number: int,
    member: int,
    ranker: str,
    *,
    arm: str = "",
    test: int | None = None,
    items: tuple[tuple[str, str], ...] = (("py-zero", "ours"),),
    surface: str = "chat",
) -> int:
    shown = tuple(Shown(item, by) for item, by in items)
    key = number.to_bytes(16, "big")
    kept = await desk.store.recommendations.put(
        NewList(key, member, desk.at - 60, surface, ranker, "", arm, test, "", shown)
    )
    assert kept is not None
    return kept.id


async def test_a_test_is_begun_once_and_a_second_one_waits(desk: RecDesk) -> None:
    said = await desk.boss("/rec test ours item_item 20%", crash_first=True)
    assert "：20% 的成员参加" in said
    assert "一半看「本店模型」，一半看「相似内容」" in said
    (test,) = await desk.store.rec_tests.running()
    assert (test.a, test.b, test.share, test.method) == ("ours", "item_item", 0.2, "split")
    assert await desk.audits() == [("rec.test", f"rec_test:{test.id}")]
    assert "已经在做" in await desk.boss("/rec test ours popular")
    assert "轮流挑" in await desk.boss("/rec test ours popular 50% 交错")
    assert "在做的测试：交错比" in await desk.boss("/rec")
    assert "写「/rec stop 分组」" in await desk.boss("/rec stop")
    assert "没看懂「随便」" in await desk.boss("/rec stop 随便")
    assert len(await desk.store.rec_tests.running()) == 2


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("ours", "这样写"),
        ("ours ours", "不一样"),
        ("ours popular 0%", "1% 到 100%"),
        ("ours 土豆", "没看懂「土豆」"),
    ],
)
async def test_a_comparison_that_cannot_be_made_is_explained(
    desk: RecDesk, typed: str, says: str
) -> None:
    assert says in await desk.boss(f"/rec test {typed}")
    assert await desk.store.rec_tests.running() == []


async def test_nothing_is_compared_where_everybody_sees_the_same(desk: RecDesk) -> None:
    await desk.served(fallback="热门更好")
    assert "/rec resume" in await desk.boss("/rec test ours popular")
    await desk.served(fallback="", model="")
    assert "还没有模型上线" in await desk.boss("/rec test ours popular")
    assert await desk.store.rec_tests.running() == []


async def test_the_end_of_a_split_test_says_which_was_clicked_more(desk: RecDesk) -> None:
    await desk.boss("/rec test ours popular 100%")
    (test,) = await desk.store.rec_tests.running()
    rng = random.Random(3)
    desk.later(days=2)
    events = []
    for number in range(1, 121):
        member = await desk.member(f"o_{number}")
        mine = side(test.salt, member, test.share)
        ranker = test.a if mine == "a" else test.b
        shown = await listed(desk, number, member, ranker, arm="test", test=test.id)
        if rng.random() < (0.6 if mine == "a" else 0.1):
            events.append((f"c{number}", member, desk.at - 30, f"rec:{shown}"))

    def write(conn: Any) -> None:
        for name, member, at, ref in events:
            conn.execute(
                "insert into events (event_id, kind, member_id, at, received_at, item_id, source, "
                "ref) values (?, 'click', ?, ?, ?, 'py-zero', 'recommendation', ?)",
                (name, member, at, at, ref),
            )

    await desk.store.db.write(write)
    desk.later(minutes=1)
    said = await desk.boss("/rec stop", crash_first=True)
    assert "测试结束（分组比，做了 2 天）：本店模型 对 热门" in said
    assert "本店模型更好" in said
    assert await desk.store.rec_tests.running() == []
    (ended,) = await desk.store.rec_tests.newest(5)
    assert ended.ended_at == desk.at
    verdict = json.loads(ended.verdict)
    assert verdict["better"] == "ours"
    assert verdict["p"] < 0.01
    assert await desk.audits() == [
        ("rec.stop", f"rec_test:{test.id}"),
        ("rec.test", f"rec_test:{test.id}"),
    ]


async def test_a_test_that_few_saw_ends_without_a_winner(desk: RecDesk) -> None:
    await desk.boss("/rec test ours popular 50% 交错")
    assert "这一种没有在做" in await desk.boss("/rec stop 分组比")
    said = await desk.boss("/rec stop 交错比")
    assert "看到的 0 位，点过的 0 位；至少要 20 位点过。" in said
    assert "更好" not in said
    assert "没有在做的测试" in await desk.boss("/rec stop")
    await desk.boss("/rec test ours popular")
    said = await desk.boss("/rec stop")
    assert "本店模型 0 位，热门 0 位" in said
    assert "每边至少要 20 位。" in said


async def test_the_end_of_a_test_is_worked_out_beside_the_bot_or_said_to_be_of_before(
    desk: RecDesk,
) -> None:
    side = desk.side = Side()
    await desk.boss("/rec test ours popular")
    (test,) = await desk.store.rec_tests.running()
    found = {"better": "ours", "why": "", "members": [90, 80], "least": 20, "ctr": [0.2, 0.1]}
    await desk.store.rec_tests.judge(test.id, json.dumps(found))
    said = await desk.boss("/rec stop")
    assert side.counted == 1
    assert "本店模型更好" in said
    assert "最近的点击还没算进来" in said

    async def count() -> bool:
        (running,) = await desk.store.rec_tests.running()
        await desk.store.rec_tests.judge(running.id, json.dumps(found | {"better": "popular"}))
        return True

    side.count = count
    await desk.boss("/rec test ours popular")
    said = await desk.boss("/rec stop")
    assert "热门更好" in said
    assert "还没算进来" not in said
