"""The fake's mass sends must be as strict as WeChat's, or the campaigns' proofs prove little."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from sandbox.fake_mass import PICTURES, PLATFORM
from sandbox.fake_rules import Call
from sandbox.fake_wechat import FakeWeChat
from tests.sandbox.webhook import ACCOUNT, Bot, running

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
PEOPLE = ("o_lin", "o_wang", "o_chen")
DAY = 86_400.0


class Clock:
    """Unix seconds that stand still until they are moved: 2025-11-20, 08:53 in Shanghai."""

    def __init__(self) -> None:
        self.at = 1_763_600_000.0

    def __call__(self) -> float:
        return self.at


class Api:
    """Calls the fake's API with a good token; answers come as they are."""

    def __init__(self, fake: FakeWeChat, http: aiohttp.ClientSession, clock: Clock) -> None:
        self.fake = fake
        self.http = http
        self.clock = clock
        self.token = ""

    async def call(self, path: str, body: Any, **params: str) -> dict[str, Any]:
        if not self.token:
            wanted = {
                "grant_type": "client_credential",
                "appid": ACCOUNT.app_id,
                "secret": ACCOUNT.app_secret,
            }
            url = f"{self.fake.api_base}/cgi-bin/stable_token"
            async with self.http.post(url, json=wanted) as response:
                self.token = (await response.json())["access_token"]
        url = f"{self.fake.api_base}/cgi-bin/{path}"
        query = {"access_token": self.token, **params}
        given: dict[str, Any] = {"json": body}
        if isinstance(body, bytes):
            form = aiohttp.FormData()
            form.add_field("media", body, filename="a.png", content_type="image/png")
            given = {"data": form}
        async with self.http.post(url, params=query, **given) as response:
            answer: dict[str, Any] = await response.json()
        return answer

    async def code(self, path: str, body: Any, **params: str) -> int:
        return int((await self.call(path, body, **params)).get("errcode", 0))

    async def send(self, client_id: str = "", to: object = PEOPLE, **extra: Any) -> dict[str, Any]:
        body = {"touser": list(to) if isinstance(to, tuple) else to, **text("大家好"), **extra}
        return await self.call("message/mass/send", body | _named(client_id))

    async def to_all(self, client_id: str, **extra: Any) -> dict[str, Any]:
        body = {"filter": {"is_to_all": True}, **text("大家好"), **extra}
        return await self.call("message/mass/sendall", body | _named(client_id))

    async def draft(self, **extra: Any) -> dict[str, Any]:
        thumb = await self.call("material/add_material", PNG, type="thumb")
        article = {"title": "新课", "content": "<p>好</p>", "thumb_media_id": thumb["media_id"]}
        return await self.call("draft/add", {"articles": [article | extra]})


def _named(client_id: str) -> dict[str, str]:
    return {"clientmsgid": client_id} if client_id else {}


def text(content: str) -> dict[str, Any]:
    return {"msgtype": "text", "text": {"content": content}}


def got(fake: FakeWeChat, openid: str = "o_lin") -> list[tuple[str, str, str]]:
    return [(one.route, one.kind, one.content) for one in fake.members[openid].inbox]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def bot() -> Bot:
    return Bot(say=None)


@pytest.fixture
async def fake(bot: Bot, clock: Clock) -> AsyncIterator[FakeWeChat]:
    async with running(bot) as webhook:
        fake = FakeWeChat(ACCOUNT, timeout_s=0.3, now=clock)
        fake.webhook = webhook
        fake.token_ttl_s = 100 * DAY
        fake.mass.finish = fake.notices.report = "hold"
        for openid in PEOPLE:
            fake.member(openid)
        await fake.start()
        yield fake
        await fake.close()


@pytest.fixture
async def api(fake: FakeWeChat, clock: Clock) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as http:
        yield Api(fake, http, clock)


# Who may be sent to


async def test_a_list_reaches_its_followers_and_counts_the_others_out(
    api: Api, fake: FakeWeChat
) -> None:
    await fake.unfollow("o_wang")
    fake.members["o_chen"].blocked = True
    answer = await api.send("c1-1")
    assert answer["errcode"] == 0
    job = fake.mass.jobs[answer["msg_id"]]
    assert (job.total, job.filtered, job.sent, job.failed) == (3, 1, 1, 0)
    assert job.openids == ("o_lin",)
    assert got(fake) == [("mass", "text", "大家好")]
    assert "msg_data_id" not in answer


@pytest.mark.parametrize(
    ("to", "errcode"),
    [
        (("o_lin",), 40130),
        ((), 40130),
        ("o_lin", 40031),
        (None, 40031),
        (("o_lin", 7), 40031),
        (("o_lin", "o_nobody"), 40003),
        (("o_lin",) * 10_001, 40032),
    ],
)
async def test_a_list_that_is_none_is_refused(
    api: Api, fake: FakeWeChat, to: object, errcode: int
) -> None:
    assert (await api.send("c1-1", to))["errcode"] == errcode
    assert not fake.mass.jobs


async def test_a_tag_reaches_who_carries_it(api: Api, fake: FakeWeChat) -> None:
    tag = (await api.call("tags/create", {"tag": {"name": "c1"}}))["tag"]["id"]
    await api.call("tags/members/batchtagging", {"openid_list": ["o_wang"], "tagid": tag})
    body = {"filter": {"is_to_all": False, "tag_id": tag}, **text("你好")}
    assert await api.code("message/mass/sendall", body) == 0
    assert [len(got(fake, openid)) for openid in PEOPLE] == [0, 1, 0]
    body["filter"] = {"is_to_all": False, "tag_id": 7777}
    assert await api.code("message/mass/sendall", body) == 45159


async def test_a_subscription_account_has_one_send_a_day_and_no_lists(
    api: Api, fake: FakeWeChat, clock: Clock
) -> None:
    fake.account = replace(ACCOUNT, kind="subscription")
    assert (await api.send("c1-1"))["errcode"] == 48001
    assert (await api.to_all("c1-1"))["errcode"] == 0
    assert (await api.to_all("c1-2"))["errcode"] == 45028
    clock.at += DAY
    assert (await api.to_all("c1-3"))["errcode"] == 0
    assert len(got(fake)) == 2


async def test_an_account_that_is_not_verified_may_send_nothing(api: Api, fake: FakeWeChat) -> None:
    fake.account = replace(ACCOUNT, verified=False)
    assert (await api.send("c1-1"))["errcode"] == 48001


# Quotas


async def test_the_fifth_of_a_month_is_left_out_without_a_word(
    api: Api, fake: FakeWeChat, clock: Clock
) -> None:
    for number in range(5):
        answer = await api.send(f"c{number}-1")
        assert answer["errcode"] == 0
    job = fake.mass.jobs[answer["msg_id"]]
    assert (job.total, job.filtered, job.sent, job.over) == (3, 0, 0, 3)
    assert len(got(fake)) == fake.mass.received("o_lin", clock.at) == 4
    clock.at += 11 * DAY  # December
    await api.send("c6-1")
    assert len(got(fake)) == 5


async def test_to_all_goes_once_a_day(api: Api, clock: Clock) -> None:
    assert (await api.to_all("c1-1"))["errcode"] == 0
    assert (await api.to_all("c2-1"))["errcode"] == 45028
    clock.at += DAY
    assert (await api.to_all("c2-1"))["errcode"] == 0


async def test_what_was_sent_by_hand_counts_too(api: Api, fake: FakeWeChat, clock: Clock) -> None:
    fake.mass.by_hand("官网群发")
    assert fake.mass.received("o_lin", clock.at) == 1
    assert (await api.to_all("c1-1"))["errcode"] == 45028


async def test_sixty_calls_a_minute(api: Api, fake: FakeWeChat, clock: Clock) -> None:
    fake.mass.per_minute = 2
    codes = [(await api.send(f"c{number}"))["errcode"] for number in range(3)]
    assert codes == [0, 0, 45011]
    clock.at += 61
    assert (await api.send("c2"))["errcode"] == 0
    assert fake.refused["/cgi-bin/message/mass/send", 45011] == 1


async def test_calls_of_a_day_end(api: Api, fake: FakeWeChat, clock: Clock) -> None:
    fake.daily["/cgi-bin/message/mass/send"] = 1
    assert [(await api.send(name))["errcode"] for name in ("a", "b")] == [0, 45009]
    clock.at += DAY
    assert (await api.send("b"))["errcode"] == 0


# The clientmsgid


async def test_the_same_id_is_never_sent_twice(api: Api, fake: FakeWeChat, clock: Clock) -> None:
    first = await api.send("c1-1")
    assert (await api.send("c1-1"))["errcode"] == 45066
    clock.at += 61
    again = await api.send("c1-1")
    assert (again["errcode"], again["msg_id"]) == (45065, first["msg_id"])
    assert len(got(fake)) == 1
    assert fake.mass.jobs[first["msg_id"]].tries == 3
    clock.at += DAY
    assert (await api.send("c1-1"))["errcode"] == 0


async def test_without_an_id_the_same_text_to_the_same_people_counts_as_one(api: Api) -> None:
    assert (await api.send())["errcode"] == 0
    assert (await api.send())["errcode"] == 45066
    assert (await api.send(to=("o_lin", "o_wang")))["errcode"] == 0


async def test_an_id_that_is_too_long(api: Api) -> None:
    assert (await api.send("x" * 65))["errcode"] == 45067


# Faults


async def test_each_fault_is_what_it_says(api: Api, fake: FakeWeChat, clock: Clock) -> None:
    plan = {
        "a": ("busy", 0),
        "b": ("cut", 0),
        "c": ("lost", 1),
        "d": ("first65", 2),
    }
    for name, (fault, reached) in plan.items():
        fake.faults = lambda call, fault=fault: fault if "mass/send" in call.path else ""  # type: ignore[misc]
        if fault in ("cut", "lost"):
            with pytest.raises(aiohttp.ClientError):
                await api.send(name)
        else:
            answer = await api.send(name)
            assert answer["errcode"] == (-1 if fault == "busy" else 45065)
        assert len(got(fake)) == reached, fault
    assert answer["msg_id"] in fake.mass.jobs


async def test_an_expired_token_is_answered_with_42001(api: Api, fake: FakeWeChat) -> None:
    await api.send("a")
    fake.faults = _expired_send
    assert (await api.send("b"))["errcode"] == 42001
    assert len(fake.mass.jobs) == 1


def _expired_send(call: Call) -> str:
    return "expired" if call.path.endswith("mass/send") else ""


# Contents


async def test_an_article_reaches_the_chat_as_a_card_and_its_draft_is_gone(
    api: Api, fake: FakeWeChat, clock: Clock
) -> None:
    draft = await api.draft(digest="三天学会")
    body = {"msgtype": "mpnews", "mpnews": {"media_id": draft["media_id"]}}
    answer = await api.send("c1-1", **body)
    assert answer["msg_data_id"]
    [seen] = fake.members["o_lin"].inbox
    [card] = seen.articles
    assert (seen.kind, seen.content) == ("news", "新课")
    assert (card["title"], card["description"]) == ("新课", "三天学会")
    assert card["url"].startswith("http://mp.weixin.qq.com/s/")
    assert (await api.send("c1-2", **body))["errcode"] == 40007
    clock.at += 61
    assert (await api.send("c1-1", **body))["errcode"] == 45065
    events = fake.mass.finish_event(fake.mass.jobs[answer["msg_id"]])
    assert events["ArticleUrlResult"]["Count"] == 1


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"title": "长" * 65}, 45003),
        ({"title": ""}, 40097),
        ({"digest": "长" * 121}, 45004),
        ({"content": " "}, 44004),
        ({"content": "x" * 20_000}, 45002),
        ({"thumb_media_id": "none"}, 40007),
    ],
)
async def test_an_article_has_its_limits(api: Api, change: Mapping[str, Any], errcode: int) -> None:
    assert (await api.draft(**change))["errcode"] == errcode


async def test_only_pictures_that_wechat_has_stay_in_an_article(api: Api, fake: FakeWeChat) -> None:
    mine = (await api.call("media/uploadimg", PNG))["url"]
    assert mine.startswith(PICTURES)
    await api.draft(content=f'<p>好</p><img src="{mine}"><img src="https://example.com/a.png">')
    [article] = fake.mass.articles.values()
    assert mine in article["content"]
    assert "example.com" not in article["content"]


async def test_a_temporary_picture_is_no_cover(api: Api) -> None:
    temporary = await api.call("media/upload", PNG, type="image")
    assert (await api.draft(thumb_media_id=temporary["media_id"]))["errcode"] == 40007


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        (text(" "), 44004),
        (text("长" * 700), 45002),
        ({"msgtype": "text", "text": "你好"}, 40097),
        ({"msgtype": "news", "news": {}}, 40008),
        ({"msgtype": "mpnews", "mpnews": {"media_id": "gone"}}, 40007),
        ({"msgtype": "image", "images": {"media_ids": ["gone"]}}, 40007),
        ({"msgtype": "image", "images": {"media_ids": []}}, 40007),
    ],
)
async def test_a_content_that_is_none_is_refused_and_may_be_sent_right_later(
    api: Api, body: dict[str, Any], errcode: int
) -> None:
    assert (await api.send("c1-1", **body))["errcode"] == errcode
    assert (await api.send("c1-1"))["errcode"] == 0


async def test_pictures_go_in_both_forms(api: Api, fake: FakeWeChat) -> None:
    media_id = (await api.call("media/upload", PNG, type="image"))["media_id"]
    for number, part in enumerate(
        ({"image": {"media_id": media_id}}, {"images": {"media_ids": [media_id]}})
    ):
        assert (await api.send(f"c{number}", msgtype="image", **part))["errcode"] == 0
    assert got(fake) == [("mass", "image", media_id)] * 2


# Afterwards


async def test_the_finish_event_comes_from_the_platform_with_all_four_counts(
    api: Api, fake: FakeWeChat, bot: Bot, clock: Clock
) -> None:
    fake.mass.finish_after_s = 100.0
    await fake.unfollow("o_wang")
    answer = await api.send("c1-1")
    look = {"msg_id": answer["msg_id"]}
    assert await fake.report() == []
    assert (await api.call("message/mass/get", look))["msg_status"] == "SENDING"
    clock.at += 100
    [delivery] = await fake.report()
    assert delivery.outcome == "success"
    event = bot.seen[-1]
    assert event["FromUserName"] == PLATFORM
    assert (event["Event"], event["Status"]) == ("MASSSENDJOBFINISH", "send success")
    counts = [event[name] for name in ("TotalCount", "FilterCount", "SentCount", "ErrorCount")]
    assert counts == ["3", "2", "2", "0"]
    assert PLATFORM not in fake.members
    assert await fake.report() == []
    assert (await api.call("message/mass/get", look))["msg_status"] == "SEND_SUCCESS"


async def test_a_send_that_fails_the_review_reaches_nobody(api: Api, fake: FakeWeChat) -> None:
    fake.mass.verdicts = ["err(20008)"]
    answer = await api.send("c1-1")
    assert answer["errcode"] == 0
    assert got(fake) == []
    assert fake.mass.finish_event(fake.mass.jobs[answer["msg_id"]])["Status"] == "err(20008)"
    look = {"msg_id": str(answer["msg_id"])}
    assert (await api.call("message/mass/get", look))["msg_status"] == "SEND_FAIL"


async def test_a_finish_event_may_come_by_itself_or_be_lost(
    api: Api, fake: FakeWeChat, bot: Bot
) -> None:
    fake.mass.finish = "auto"
    await api.send("c1-1")
    while not bot.seen:
        await api.call("message/mass/speed/get", {})
    assert bot.seen[0]["Event"] == "MASSSENDJOBFINISH"
    fake.mass.finish = "lost"
    await api.send("c2-1")
    assert await fake.report() == []


async def test_a_preview_reaches_one_phone_and_costs_no_quota(
    api: Api, fake: FakeWeChat, clock: Clock
) -> None:
    draft = await api.draft()
    body = {"touser": "o_lin", "msgtype": "mpnews", "mpnews": {"media_id": draft["media_id"]}}
    assert await api.code("message/mass/preview", body) == 0
    assert [len(got(fake, openid)) for openid in PEOPLE] == [1, 0, 0]
    assert fake.mass.received("o_lin", clock.at) == 0
    assert draft["media_id"] in fake.mass.drafts
    body["touser"] = "o_nobody"
    assert await api.code("message/mass/preview", body) == 40003


async def test_only_articles_that_went_out_can_be_deleted(api: Api) -> None:
    draft = await api.draft()
    body = {"msgtype": "mpnews", "mpnews": {"media_id": draft["media_id"]}}
    sent = await api.send("c1-1", **body)
    assert await api.code("message/mass/delete", {"msg_id": sent["msg_id"]}) == 0
    look = await api.call("message/mass/get", {"msg_id": sent["msg_id"]})
    assert look["msg_status"] == "DELETE"
    words = await api.send("c2-1")
    assert await api.code("message/mass/delete", {"msg_id": words["msg_id"]}) == 40008
    for unknown in (7, "7", None, "x"):
        assert await api.code("message/mass/get", {"msg_id": unknown}) == 40059


@pytest.mark.parametrize(
    ("body", "errcode"), [({"speed": 4}, 0), ({"speed": 5}, 45083), ({}, 45084)]
)
async def test_the_speed_has_five_steps(api: Api, body: dict[str, int], errcode: int) -> None:
    assert await api.code("message/mass/speed/set", body) == errcode
    assert (await api.call("message/mass/speed/get", {}))["speed"] == (3 if errcode else 4)


# Notices

NOTICE = {"touser": "o_lin", "template_id": "T1", "data": {"thing1": {"value": "开课提醒"}}}


async def test_a_template_message_reaches_a_follower_and_its_outcome_is_told(
    api: Api, fake: FakeWeChat, bot: Bot
) -> None:
    fake.notices.statuses = ["success", "failed:user block"]
    first = await api.call("message/template/send", NOTICE)
    await api.call("message/template/send", NOTICE)
    assert got(fake) == [("template", "text", "thing1：开课提醒")]
    await fake.report()
    assert [event["Status"] for event in bot.seen] == ["success", "failed:user block"]
    assert bot.seen[0]["MsgID"] == str(first["msgid"])
    assert bot.seen[0]["FromUserName"] == "o_lin"


async def test_a_subscription_notice_uses_up_one_permission(
    api: Api, fake: FakeWeChat, bot: Bot
) -> None:
    path = "message/subscribe/bizsend"
    assert await api.code(path, NOTICE) == 43101
    await fake.answer_popup("o_lin", {"T1": True, "T2": False})
    rows = bot.seen[-1]["SubscribeMsgPopupEvent"]["List"]
    assert [row["SubscribeStatusString"] for row in rows] == ["accept", "reject"]
    assert [await api.code(path, NOTICE) for _ in range(2)] == [0, 43101]
    await fake.report()
    assert bot.seen[-1]["SubscribeMsgSentEvent"]["List"]["ErrorStatus"] == "success"
    await fake.answer_popup("o_lin", {"T1": True})
    await fake.refuse_notices("o_lin", "T1")
    assert bot.seen[-1]["Event"] == "subscribe_msg_change_event"
    assert await api.code(path, NOTICE) == 43101


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"touser": "o_nobody"}, 40003),
        ({"template_id": ""}, 40037),
        ({"data": {}}, 47003),
        ({"data": {"thing1": "x"}}, 47003),
        ({"data": {"thing1": {"value": ""}}}, 47003),
    ],
)
async def test_a_notice_that_does_not_fit_is_refused(
    api: Api, fake: FakeWeChat, change: dict[str, Any], errcode: int
) -> None:
    assert await api.code("message/template/send", NOTICE | change) == errcode
    fake.account = replace(ACCOUNT, kind="subscription")
    assert await api.code("message/template/send", NOTICE) == 48001


async def test_who_blocked_the_account_gets_no_message(api: Api, fake: FakeWeChat) -> None:
    fake.open_window("o_lin", "message")
    body = {"touser": "o_lin", **text("hello")}
    fake.members["o_lin"].blocked = True
    assert await api.code("message/custom/send", body) == 43019
    fake.members["o_lin"].blocked, fake.members["o_lin"].muted = False, True
    assert await api.code("message/custom/send", body) == 48002
