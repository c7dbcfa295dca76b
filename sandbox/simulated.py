"""A community that was thought up: who joined, talked, answered, bought and left, and what is true
of it.

The truth is planted and told beside the rows: circles, leaders, who left when, days on which the
mood fell or a topic rose, how many buy for how much money. The same seed gives the same past. What
is said is put together from sentences of our own; nobody's words are in it.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

DAY_S = 86_400.0
_EAST_S = 8 * 3600.0

HOURS = (1, 0, 0, 0, 0, 0, 1, 3, 5, 6, 6, 5, 7, 5, 4, 4, 4, 5, 6, 9, 12, 12, 8, 4)
"""How much is said at each hour of a day."""
WEEKDAYS = (1.0, 1.0, 0.95, 1.0, 1.05, 1.25, 1.3)

TOPICS: Mapping[str, tuple[str, ...]] = {
    "写作打卡": ("打卡", "选题", "开头", "修改", "日更"),
    "数据分析": ("透视表", "清洗", "图表", "报表", "公式"),
    "副业接单": ("报价", "客户", "合同", "接单", "作品集"),
    "读书笔记": ("书单", "笔记", "共读", "摘抄", "章节"),
    "英语口语": ("发音", "跟读", "听力", "口语", "单词"),
    "时间管理": ("番茄钟", "清单", "早起", "复盘", "计划"),
}
GOOD = (
    "{topic}这节讲得真清楚，收获很大",
    "谢谢老师，{word}终于弄懂了",
    "今天的{word}练习做完了，开心[微笑]",
    "跟着学了两周{topic}，进步很明显",
    "{word}的资料太好用了，推荐大家看",
    "太棒了，{topic}的作业得了优秀",
)
PLAIN = (
    "{topic}的直播是今晚八点",
    "我把{word}的笔记放在群文件里了",
    "下周开始讲{word}",
    "{topic}第三章我看到一半",
    "今天轮到我分享{word}",
    "{word}的模板是上周发的那份",
)
BAD = (
    "{topic}的链接又打不开，太失望了",
    "{word}讲得太乱，完全听不懂",
    "等了三天没人回，{topic}的服务真差",
    "{word}的作业批改太慢了，很不满意",
    "花了钱学{topic}，一点用都没有，想退款",
    "又延期，{topic}这样拖真让人生气",
)
ASKED = (
    "请问{word}的作业什么时候交？",
    "{topic}的回放在哪里看？",
    "有人知道{word}怎么做吗？",
    "{word}这一步总是出错，怎么办？",
)
ANSWERED = (
    "{word}在第二章有讲，先看那一节",
    "回放在课程页最下面，{topic}都在那里",
    "我上次也遇到，{word}重新做一遍就好",
    "周日晚上交，{word}别忘了写总结",
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be thought up.

    now: Unix seconds at which it ends. first_id: the number of the first member. channel: of those
    who write in private; places: the groups they are in. quiet: nothing is planted. drop, burst:
    (place, days before the end, how strong); strong: the share of bad words, or how many times as
    many people. items: ids of the catalogue, the first two of which are bought together.
    """

    now: float
    seed: int = 1
    members: int = 240
    days: int = 84
    first_id: int = 1
    channel: str = "mp"
    places: tuple[str, ...] = ("qun:1", "qun:2", "qun:3")
    circles: int = 3
    leaders: int = 2
    leaving: float = 0.2
    per_day: float = 0.5
    quiet: bool = False
    drop: tuple[str, int, float] | None = None
    burst: tuple[str, int, float, str] | None = None
    angry: int = 0
    items: tuple[str, ...] = ("py-zero", "py-data", "excel-clean")
    prices: tuple[int, ...] = (19_900, 29_900, 9_900)
    spending: bool = True
    half_life_s: float = 30 * DAY_S


@dataclass
class Person:
    """A member as they were thought up. left: the day from which on they are silent, inf: never."""

    id: int
    place: str
    circle: int
    rate: float
    joined: int
    left: float
    leads: bool
    topic: str
    mood: float


@dataclass
class World:
    """rows: by table, for `store.history.fill`. The rest is what is true of them."""

    rows: dict[str, list[tuple[Any, ...]]]
    people: list[Person]
    curves: dict[str, tuple[float, float]] = field(default_factory=dict)
    angry: dict[int, float] = field(default_factory=dict)
    """Member -> when they turned angry."""

    @property
    def leaders(self) -> dict[str, set[int]]:
        """Who leads, by place."""
        found: dict[str, set[int]] = defaultdict(set)
        for one in self.people:
            if one.leads:
                found[one.place].add(one.id)
        return dict(found)

    @property
    def circles(self) -> dict[int, tuple[str, int]]:
        """Who belongs to which circle."""
        return {one.id: (one.place, one.circle) for one in self.people}


def simulate(plan: Plan) -> World:
    """The whole past. CPU: about a second for 30,000 messages."""
    return _Simulation(plan).run()


class _Simulation:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = random.Random(plan.seed)  # noqa: S311 - the same past every time
        self.rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        midnight = (plan.now + _EAST_S) // DAY_S * DAY_S - _EAST_S
        self.begin = midnight - (plan.days - 1) * DAY_S
        self.people = [self._person(plan.first_id + n) for n in range(plan.members)]
        self.world = World(self.rows, self.people)
        self.sums: dict[tuple[str, int, int], list[float]] = {}
        self.seen: dict[int, float] = {}
        self.next_talk = 1
        self.keys = 0

    def run(self) -> World:
        plan = self.plan
        if plan.angry and not plan.quiet:
            likely = [one for one in self.people if math.isinf(one.left) and one.rate > 0.5]
            for one in self.rng.sample(likely, min(plan.angry, len(likely))):
                self.world.angry[one.id] = self.begin + (plan.days - 2) * DAY_S
        for day in range(plan.days):
            self._day(day)
        self._who()
        self._shop()
        for (place, from_id, to_id), (weight, count, at) in self.sums.items():
            self.rows["edges"].append((place, from_id, to_id, weight, int(count), at))
        return self.world

    def _person(self, number: int) -> Person:
        plan, rng = self.plan, self.rng
        place = plan.places[number % len(plan.places)]
        within = (number - plan.first_id) // len(plan.places)
        leads = within < plan.leaders * plan.circles
        circle = within % plan.circles if leads else rng.randrange(plan.circles)
        joined = 0 if rng.random() < 0.7 else rng.randrange(plan.days)
        left = math.inf
        if not leads and rng.random() < plan.leaving:
            left = joined + 7 + rng.random() * max(plan.days - joined - 7, 1)
        topics = list(TOPICS)
        return Person(
            id=number,
            place=place,
            circle=circle,
            rate=plan.per_day * (3.0 if leads else rng.lognormvariate(-0.4, 0.8)),
            joined=joined,
            left=left,
            leads=leads,
            topic=topics[(plan.places.index(place) * plan.circles + circle) % len(topics)],
            mood=rng.betavariate(2, 14),
        )

    def _day(self, day: int) -> None:
        plan, rng = self.plan, self.rng
        start = self.begin + day * DAY_S
        before_end = plan.days - 1 - day
        weekday = int((start + _EAST_S) // DAY_S + 3) % 7
        turns: list[tuple[float, Person, str]] = []
        for one in self.people:
            if day < one.joined:
                continue
            # Who is about to leave says less and less.
            fading = min(max((one.left - day) / 14.0, 0.0), 1.0)
            for _ in range(_poisson(rng, one.rate * WEEKDAYS[weekday] * fading)):
                turns.append((start + self._second(), one, one.topic))
        if plan.burst is not None and not plan.quiet:
            place, when, strong, term = plan.burst
            if when == before_end:
                here = [one for one in self.people if one.place == place and day < one.left]
                for one in rng.sample(here, min(len(here), int(strong))):
                    turns.append((start + self._second(), one, term))
        turns = sorted((one for one in turns if one[0] < plan.now), key=lambda one: one[0])
        for at, one, topic in turns:
            self._turn(at, one, topic, before_end)

    def _second(self) -> float:
        hour = self.rng.choices(range(24), HOURS)[0]
        return hour * 3600.0 + self.rng.random() * 3600.0

    def _turn(self, at: float, one: Person, topic: str, before_end: int) -> None:
        plan, rng = self.plan, self.rng
        self.seen[one.id] = at
        bad = one.mood
        if plan.drop is not None and not plan.quiet and plan.drop[:2] == (one.place, before_end):
            bad = plan.drop[2]
        if at >= self.world.angry.get(one.id, math.inf):
            bad = 0.95
        luck = rng.random()
        words = BAD if luck < bad else GOOD if luck < bad + 0.3 else PLAIN
        if rng.random() < 0.2:
            self._private(at, one, self._say(ASKED if luck > bad else words, topic))
            return
        asks = words is not BAD and rng.random() < 0.25
        mine = self._talk(at, one, self._say(ASKED if asks else words, topic), None)
        if asks and (other := self._helper(one)) is not None:
            later = at + rng.expovariate(1 / 600.0)
            if later < plan.now:
                self._talk(later, other, self._say(ANSWERED, topic), mine)
                self._turned(one.place, other, one, later)
                self.seen[other.id] = max(self.seen.get(other.id, 0.0), later)
        elif rng.random() < 0.5 and (other := self._neighbour(one)) is not None:
            self._turned(one.place, one, other, at)

    def _helper(self, one: Person) -> Person | None:
        """Who answers: mostly a leader of the own circle."""
        near = [
            other
            for other in self.people
            if other.leads
            and (other.place, other.circle) == (one.place, one.circle)
            and other.id != one.id
        ]
        if near and self.rng.random() < 0.75:
            return self.rng.choice(near)
        return self._neighbour(one)

    def _neighbour(self, one: Person) -> Person | None:
        same = self.rng.random() < 0.88
        for _ in range(12):
            other = self.rng.choice(self.people)
            alike = (other.place, other.circle) == (one.place, one.circle)
            if other.place == one.place and other.id != one.id and alike is same:
                return other
        return None

    def _say(self, sentences: Sequence[str], topic: str) -> str:
        words = TOPICS.get(topic, (topic,))
        return self.rng.choice(sentences).format(topic=topic, word=self.rng.choice(words))

    def _key(self) -> bytes:
        self.keys += 1
        return hashlib.blake2b(
            f"{self.plan.seed}:{self.plan.first_id}:{self.keys}".encode(), digest_size=16
        ).digest()

    def _talk(self, at: float, one: Person, text: str, reply_to: int | None) -> int:
        number = self.next_talk
        self.next_talk += 1
        self.rows["talk"].append(
            (number, self._key(), one.place, one.id, at, "text", text, f"s{number}", reply_to, 0)
        )
        return number

    def _private(self, at: float, one: Person, text: str) -> None:
        handler = self.rng.choice(("faq", "faq", "faq.unknown", "content"))
        self.rows["interactions"].append(
            (at, self.plan.channel, one.id, "text", text, handler, "", self._key())
        )

    def _turned(self, place: str, one: Person, other: Person, at: float) -> None:
        weight = 2.0 ** (-(self.plan.now - at) / self.plan.half_life_s)
        known = self.sums.setdefault((place, one.id, other.id), [0.0, 0.0, self.plan.now])
        known[0] += weight
        known[1] += 1

    def _who(self) -> None:
        for one in self.people:
            joined = self.begin + one.joined * DAY_S
            seen = self.seen.get(one.id, joined)
            self.rows["members"].append((one.id, joined))
            openid = f"oSIM_{self.plan.seed}_{one.id:06d}"
            self.rows["identities"].append(
                (self.plan.channel, openid, one.id, 1, joined, None, seen)
            )
            self.rows["group_members"].append((one.place, one.id, joined, None, "", joined))

    # What is shown, bought and paid

    def _shop(self) -> None:
        plan, rng = self.plan, self.rng
        weekly: dict[tuple[str, int], int] = {}
        if plan.spending:
            for number, place in enumerate(plan.places):
                self.world.curves[place] = (6.0 + 4.0 * number, 300.0 + 250.0 * number)
                for week in range(plan.days // 7):
                    yuan = rng.choice((0, 100, 200, 400, 800, 1600))
                    weekly[place, week] = yuan
                    for day in range(7):
                        name = self._day_name(week * 7 + day)
                        cents = yuan * 100 // 7 + (yuan * 100 % 7 if day == 0 else 0)
                        self.rows["place_costs"].append((place, name, cents, plan.now, "cli"))
        number = 0
        for one in self.people:
            last = min(one.left, plan.days - 1.0)
            for _ in range(_poisson(rng, 0.12 * max(last - one.joined, 0))):
                at = self._moment(rng.uniform(one.joined, last))
                item = rng.choice(plan.items)
                number = self._event(number, "exposure", at, one, item)
                if rng.random() < 0.25:
                    number = self._event(number, "click", at + 30, one, item)
        for (place, week), yuan in weekly.items():
            most, scale = self.world.curves[place]
            for _ in range(_poisson(rng, 1.0 + most * math.log1p(yuan / scale))):
                when = week * 7 + rng.random() * 7
                here = [
                    one
                    for one in self.people
                    if one.place == place and one.joined <= when < one.left
                ]
                if here:
                    number = self._bought(number, rng.choice(here), self._moment(when))

    def _bought(self, number: int, one: Person, at: float) -> int:
        plan, rng = self.plan, self.rng
        which = rng.choices(range(len(plan.items)), (3, 1, 1)[: len(plan.items)])[0]
        basket = [which]
        if which == 0 and rng.random() < 0.6 and len(plan.items) > 1:
            basket.append(1)
        for place, item in enumerate(basket):
            number = self._event(
                number, "purchase", at + 600 * place, one, plan.items[item], plan.prices[item]
            )
            for step in range(_poisson(rng, 1.5)):
                later = at + (step + 1) * 2 * DAY_S
                if later < plan.now and later < self.begin + one.left * DAY_S:
                    number = self._event(
                        number,
                        "progress",
                        later,
                        one,
                        plan.items[item],
                        percent=min(20 * (step + 1), 100),
                    )
        return number

    def _event(
        self,
        number: int,
        kind: str,
        at: float,
        one: Person,
        item: str,
        cents: int = 0,
        percent: int | None = None,
    ) -> int:
        if at < self.plan.now:
            order = f"sim-{self.plan.seed}-{number}" if kind == "purchase" else ""
            name = f"sim:{self.plan.seed}:{self.plan.first_id}:{number}"
            self.rows["events"].append(
                (name, kind, at, at, one.id, item, percent, cents, order, "")
            )
        return number + 1

    def _moment(self, day: float) -> float:
        return self.begin + math.floor(day) * DAY_S + self._second()

    def _day_name(self, day: int) -> str:
        at = self.begin + day * DAY_S
        return datetime.fromtimestamp(at, timezone(timedelta(hours=8))).strftime("%Y-%m-%d")


def _poisson(rng: random.Random, mean: float) -> int:
    """A Poisson number; small means only."""
    limit, count, product = math.exp(-min(mean, 50.0)), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count
