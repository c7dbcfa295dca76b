"""`zhiqun demo`: the bot, a fake WeChat and a phone page, in one process.

Nothing is shortened: the page's messages are signed, encrypted and posted to the real
webhook over HTTP, late answers come back over the real API calls, and the shop that links
lead to tells the real REST API what was bought. A group talks beside them, through a gateway that
opens a reverse WebSocket, and a group robot posts to another. Only the other sides are ours.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import replace
from datetime import time as clock
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bot import logs
from bot.app import App
from bot.config import (
    BusinessSettings,
    CampaignSettings,
    ChannelSettings,
    Config,
    LogSettings,
    MenuButton,
    ReferralSettings,
    Secret,
    ServerSettings,
    StoreSettings,
)
from bot.group_settings import GatewaySettings, GroupRobotSettings, GroupSettings
from bot.invitations import new_scene
from bot.keys import new_key
from bot.reading import read_document
from bot.rec_settings import RecommendationSettings
from bot.transfer import read_faq, read_items
from handlers import ROUTERS
from handlers.context import Context
from handlers.message import Message, Reply
from handlers.router import Router
from sandbox import history, seeds
from sandbox.fake_gateway import FakeGateway
from sandbox.fake_platform import FakeMember
from sandbox.fake_qyapi import FakeQyapi
from sandbox.fake_wechat import Account, FakeWeChat
from sandbox.groups import Example, GroupRooms, Names, Speaker
from sandbox.phone import SUGGESTIONS, Link, Person, Phone
from sandbox.shop import Offer, Shop
from scheduler import jobs
from store.catalogue import Item
from store.documents import NewDocument
from store.groups import place_of

SEED = Path(__file__).parent / "seed"
ITEMS = "items.jsonl"
HANDBOOK = "handbook.md"

TITLE = "知行小课"

SHOP_KEY = "demo shop"
"""The name of the key with which the shop speaks to the REST API."""

# A made-up account; these open nothing but the fake beside it.
ACCOUNT = Account(
    app_id="wx00demo00demo0000",
    app_secret="demo-secret-of-nothing-at-all-00",  # noqa: S106
    token="demotoken",  # noqa: S106
    aes_key="zhiqunzhiqunzhiqunzhiqunzhiqunzhiqunzhiqun0",
    gh_id="gh_zhixingdemo",
)

GATEWAY, ROBOT = "qun", "board"
"""Channels: the group that is heard, and the one that is only posted to."""

GROUP_ID = "50001@chatroom"
ROOMS = Names(group="周末读书会", board="公告群", bot="知群")
OTHER_GROUP = ("50002@chatroom", "写作营同学群")
"""Where people of the past talk, too; the page does not show what is said there."""
_TRY = (
    "签到",
    "领券 早鸟",
    "我的券",
    "邀请好友",
    "答题",
    "我的积分",
    "排行榜",
    "兑换 书签",
    "推荐",
    "换一批",
    "为什么",
    *SUGGESTIONS,
    "慢慢想",
    "退订",
    "订阅",
)
MEMBERS = (
    Person("oLinXiao_demo_member_0000001", "林晓", "成员", "#5b8def", _TRY),
    Person("oZhouYu__demo_member_0000002", "周雨", "成员", "#e08a3c", _TRY),
)
OPERATOR = Person(
    "oSuLaoshi_demo_operator_0003",
    "苏老师",
    "运营",
    "#4aa564",
    suggestions=(
        "/help",
        "/report week",
        "/why 2",
        "/report mood",
        "/report topic",
        "/report members",
        "/report to 即将流失 好久不见，新课开了，回来看看。不想收到请回复退订",
        "/campaign new",
        "/campaign list",
        "/campaign preview 1",
        "/campaign report 1 图",
        "/audit",
        "/stats",
        "/coupon list",
        "/coupon report 早鸟",
        "/quiz list",
        "/points report",
        "/referral review",
        "/group list",
        f"/group push {ROOMS.board} 今晚八点开播",
        f"/quiz start 2 {ROOMS.group}",
        f"/group digest {ROOMS.group} now",
        "/faq gaps",
        "/docs",
        "/teach 有夜校吗 => 有，每周三晚八点直播。",
        "/funnel",
        "/sends",
    ),
)

OWNER = Speaker("wxid_su", "苏老师", "运营", OPERATOR.avatar_colour)
SPEAKERS = (
    Speaker("wxid_lin", "林晓", "成员", MEMBERS[0].avatar_colour),
    Speaker("wxid_zhou", "周雨", "成员", MEMBERS[1].avatar_colour),
    Speaker("wxid_he", "何川", "成员", "#8a63c9"),
    OWNER,
)
NEWCOMERS = (
    Speaker("wxid_new1", "小满", "成员", "#2f9c95"),
    Speaker("wxid_new2", "阿树", "成员", "#c25b7a"),
    Speaker("wxid_new3", "老顾", "成员", "#7a7f35"),
    Speaker("wxid_new4", "米粒", "成员", "#4d6fa8"),
)
ADVERT = "兼职刷单日结300-500，无需押金，在家可做，加微信 zq66888 领任务，名额有限先到先得"
FLOOD = tuple(f"有人吗，第 {number} 遍了" for number in range(1, 13))
EXAMPLES = {
    "成员": (
        Example("@知群 怎么退款", "@知群 怎么退款"),
        Example("随便聊聊", "这周读到第三章了，你们呢"),
        Example("@知群 我的积分", "@知群 我的积分"),
        Example("签到", "签到"),
        Example("开接龙", "接龙 周六线下见 6人"),
        Example("+1", "+1"),
        Example("发广告", ADVERT),
        Example("刷屏", act="flood"),
        Example("有人进群", act="join"),
    ),
    "运营": (
        Example("/group", "/group"),
        Example("改欢迎词", "/group welcome 欢迎 {names}，周日晚八点一起读书。"),
        Example("/group mute 10m", "/group mute 10m"),
        Example("/group mute off", "/group mute off"),
        Example("随便聊聊", "这周日晚上八点老时间见"),
        Example("有人进群", act="join"),
    ),
}

MENU = (
    MenuButton(name="看内容", type="click", key="courses"),
    MenuButton(
        name="福利",
        sub=(
            MenuButton(name="签到", type="click", key="签到"),
            MenuButton(name="领券", type="click", key="领券"),
            MenuButton(name="积分兑换", type="click", key="兑换"),
            MenuButton(name="答题", type="click", key="quiz"),
            MenuButton(name="邀请好友", type="click", key="邀请好友"),
        ),
    ),
    MenuButton(
        name="我的",
        sub=(
            MenuButton(name="我的券", type="click", key="我的券"),
            MenuButton(name="我的积分", type="click", key="我的积分"),
            MenuButton(name="排行榜", type="click", key="排行榜"),
            MenuButton(name="能做什么", type="click", key="help"),
            MenuButton(name="转人工", type="click", key="human"),
        ),
    ),
)


THINKING_S = 7.0
MIDNIGHT = clock(0, 0)
FINISH_S = 1.0
WELCOME_MINUTES = 0.1
GATEWAY_TOKEN = "demo-gateway-token-0000"  # noqa: S105 - opens nothing but what is in this process
ROBOT_KEY = "demo-board-robot-0000"

slow = Router("demo.slow")


@slow.text("慢慢想|慢回答")
async def think(message: Message, ctx: Context) -> Reply:
    """Take longer than WeChat waits, so that one can watch an answer come late."""
    await asyncio.sleep(THINKING_S)
    return Reply.text(
        f"想好了：这个回答用了 {THINKING_S:g} 秒，超过微信等待的 5 秒，"
        "所以先回了 success，再用客服消息发给你。右边「通信过程」里能看到这两步。"
    )


def demo_config(folder: Path, api_base: str, api_port: int = 0, qyapi: str = "") -> Config:
    """The demo's configuration, made in code: free ports, nothing outside `folder`.

    api_port: where links lead first; 0 takes any free one, and links stay plain. qyapi: where
    WeCom's API is; "" leaves the groups out.
    """
    public_url = f"http://127.0.0.1:{api_port}" if api_port else ""
    return Config(
        server=ServerSettings(port=0, ops_port=0, api_port=api_port, public_url=public_url),
        store=StoreSettings(path=folder / "zhiqun.db"),
        log=LogSettings(level="warning"),
        business=BusinessSettings(name=TITLE),
        # Whoever tries it may do so at night and several times a day, with two members.
        campaigns=CampaignSettings(
            quiet_from=MIDNIGHT,
            quiet_until=MIDNIGHT,
            cap_per_day=20,
            cap_per_week=100,
            holdout_percent=0,
            window_days=1.0,
        ),
        # On here, where nobody real is invited; docs/going-live.md says what WeChat allows.
        referral=ReferralSettings(enabled=True, ladder=seeds.LADDER),
        groups=GroupSettings(welcome_minutes=WELCOME_MINUTES),
        # Three visitors are too few to hold one out, and nobody waits for a search for settings.
        recommendations=RecommendationSettings(holdout=0.0, tune_s=0.0),
        **(_group_channels(qyapi) if qyapi else {}),
        channels=MappingProxyType(
            {
                "mp": ChannelSettings(
                    name="mp",
                    app_id=ACCOUNT.app_id,
                    app_secret=Secret(ACCOUNT.app_secret),
                    token=Secret(ACCOUNT.token),
                    encoding_aes_key=Secret(ACCOUNT.aes_key),
                    api_base=api_base,
                    late="customer-service",
                    owners=(OPERATOR.openid,),
                    menu=MENU,
                )
            }
        ),
    )


def _group_channels(qyapi: str) -> dict[str, Any]:
    gateway = GatewaySettings(
        channel=GATEWAY,
        accept_risk=True,  # the account that could be banned is made up
        access_token=Secret(GATEWAY_TOKEN),
        per_minute=120,
        owners=(OWNER.id,),
    )
    robot = GroupRobotSettings(
        channel=ROBOT, key=Secret(ROBOT_KEY), group=ROOMS.board, api_base=qyapi
    )
    return {
        "gateways": MappingProxyType({GATEWAY: gateway}),
        "group_robots": MappingProxyType({ROBOT: robot}),
    }


def _free_port() -> int:
    """A port nobody has now: the links' address must be known before the bot opens it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _offer(item: Item) -> Offer:
    """A catalogue item as the shop sells it."""
    prices = (("原价", item.price_cents), *((tier.name, tier.price_cents) for tier in item.tiers))
    chapters = tuple((chapter.id, chapter.title) for chapter in item.chapters)
    return Offer(item.id, item.title, item.summary, prices, chapters)


class Demo:
    """Bot, fake, shop and page together; `url` is where the page is.

    past: whether something happened before it was opened (`sandbox/history.py`); it is written
    and worked out in the background, half a minute after the start it can be asked about.
    """

    def __init__(self, folder: Path, port: int = 0, *, past: bool = False) -> None:
        self.fake = FakeWeChat(ACCOUNT)
        # WeChat tells some time after a mass send how it went.
        self.fake.mass.finish_after_s = FINISH_S
        self.shop = Shop(TITLE)
        self.phone = Phone(self.fake, (*MEMBERS, OPERATOR), title=TITLE)
        self.gateway = FakeGateway("", GATEWAY_TOKEN, names=True)
        self.qyapi = FakeQyapi()
        self.rooms = GroupRooms(
            self.phone,
            self.gateway,
            self.qyapi,
            group=GROUP_ID,
            robot=ROBOT_KEY,
            names=ROOMS,
            people=SPEAKERS,
            newcomers=NEWCOMERS,
            examples=EXAMPLES,
            flood=FLOOD,
        )
        self.url = ""
        self._folder = folder
        self._port = port
        self._past = past
        self.looking_back: asyncio.Task[None] | None = None
        self.app: App | None = None

    async def start(self) -> None:
        """Open everything, seed an empty store, put up the menu; ready when it returns."""
        api_base = await self.fake.start()
        shop_url = await self.shop.start()
        config = demo_config(self._folder, api_base, _free_port(), await self.qyapi.start())
        app = self.app = App(config, routers=(slow, *ROUTERS), say=lambda _: None)
        await app.start()
        ready, failed = asyncio.create_task(app.ready.wait()), asyncio.create_task(app.failed())
        await asyncio.wait({ready, failed}, return_when=asyncio.FIRST_COMPLETED)
        failed.cancel()
        if not ready.done():
            ready.cancel()
            raise RuntimeError("the bot could not get ready; the log line above says why")
        await self._seed(app)
        await self._open_shop(app)
        await self._end_codes(app)
        await app.reload()
        self.fake.webhook = f"http://127.0.0.1:{app.webhook_port}/hook/mp"
        if not await self.fake.verify_url():
            raise RuntimeError("the webhook did not echo; is another program on its port?")
        await app.channels["mp"].side.push_menu()
        self.gateway.webhook = f"http://127.0.0.1:{app.webhook_port}/hook/{GATEWAY}"
        await self.gateway.connect()
        await self.gateway.connect(keep=True)
        ops = f"http://127.0.0.1:{app.ops_port}"
        self.phone.links = (
            Link("商店", shop_url),
            Link("健康", f"{ops}/readyz"),
            Link("指标", f"{ops}/metrics"),
        )
        self.url = await self.phone.start(port=self._port)
        if self._past:
            self.looking_back = asyncio.create_task(self._look_back(app))

    async def _look_back(self, app: App) -> None:
        """Write what happened before, and work out what it means."""
        places = [place_of(GATEWAY, group) for group in (OTHER_GROUP[0], GROUP_ID)]
        if await history.write(app.store, time.time(), places):
            await history.until_read(app.store)
            await jobs.order_catalogue(app.store, app.reload, time.time())
            assert app.insights is not None
            app.insights.refresh()
            # Nobody waits here until the night for the first model.
            assert app.recommendations is not None
            await app.recommendations.trained(force=False)

    async def _seed(self, app: App) -> None:
        """FAQ, handbook, offers and quiz once; the catalogue each time, for the shop has moved."""
        now = time.time()
        faq, items, data = await asyncio.to_thread(
            lambda: (
                read_faq(SEED / "faq.csv"),
                read_items(SEED / ITEMS),
                (SEED / HANDBOOK).read_bytes(),
            )
        )
        if not await app.store.content.faqs():
            await app.store.content.import_faq(faq, now)
            document = NewDocument.of(await read_document(HANDBOOK, data), data)
            await app.store.documents.put(document, now, "cli")
        here = [replace(item, url=self.shop.address(item.id)) for item in items]
        await app.store.catalogue.put(here, now)
        await seeds.seed(app.store, now)
        await seeds.seed_group(app.store, GATEWAY, GROUP_ID, ROOMS.group, now, OWNER.id)
        if self._past:
            self.gateway.group(*OTHER_GROUP)
            await seeds.seed_group(app.store, GATEWAY, *OTHER_GROUP, now)
            for openid in history.openids():
                self.fake.members.setdefault(openid, FakeMember(since=now))
        self.shop.offers = {item.id: _offer(item) for item in here}

    async def _open_shop(self, app: App) -> None:
        """Give the shop a key of its own; the one of an earlier start is no use to anybody."""
        now = time.time()
        for key in await app.store.keys.all():
            if key.name == SHOP_KEY:
                await app.store.keys.revoke(key.id, now)
        till = self.shop.till
        row, till.key = new_key(
            SHOP_KEY, ["events:write", "coupons:redeem"], 6000, now, signed=True
        )
        till.secret = row.signing_secret or ""
        await app.store.keys.add(row)
        till.api = f"http://127.0.0.1:{app.api_port}/api/v1"

    async def _end_codes(self, app: App) -> None:
        """QR codes and pictures of an earlier start: the WeChat that knew them is gone."""
        referrals, now = app.store.referrals, time.time()
        for person in (*MEMBERS, OPERATOR):
            for member_id in await app.store.members.find(person.openid, "mp"):
                invite = await referrals.invite(member_id, "mp", new_scene(), now)
                if invite is not None and invite.url:
                    await referrals.lead(invite.scene, "", "", 0.0)

    async def stop(self) -> None:
        """Close the page, the shop, the fakes and the bot."""
        if self.looking_back is not None:
            self.looking_back.cancel()
            await asyncio.gather(self.looking_back, return_exceptions=True)
        await self.phone.close()
        await self.shop.close()
        await self.gateway.close()
        if self.app is not None:
            await self.app.stop()
        await self.fake.close()
        await self.qyapi.close()


async def demo(port: int = 8765, folder: Path | None = None) -> int:
    """Run the demo until Ctrl-C. folder None: a new one, removed at the end."""
    started = time.monotonic()
    logs.configure(replace(LogSettings(), level="warning"))
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    place = folder or Path(tempfile.mkdtemp(prefix="zhiqun-demo-"))
    stage = Demo(place, port, past=True)
    try:
        try:
            await stage.start()
        except OSError as error:
            print(
                f"zhiqun: the page cannot be opened: {error}. "
                f"Is port {port} taken? Try: zhiqun demo --port {port + 1}",
                file=sys.stderr,
            )
            return 1
        print(
            f"\n  Open this page: {stage.url}\n\n"
            "  It is a phone. Choose who you are, follow the account, type 怎么退款, 签到, 推荐\n"
            "  or 领券 早鸟; 邀请好友 makes a picture that somebody else can scan. As 苏老师,\n"
            "  /campaign new writes to them all, one question at a time.\n"
            "  Beside it is a group: @知群 怎么退款 is answered, what people chat is not.\n"
            "  The panel at the right shows what goes over the wire. Ctrl-C ends the demo.\n"
            f"  (ready in {time.monotonic() - started:.1f} s)",
            flush=True,
        )
        await stop.wait()
        return 0
    finally:
        await stage.stop()
        if folder is None:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)


if __name__ == "__main__":
    from bot.__main__ import main

    sys.exit(main(["demo", *sys.argv[1:]]))
