"""The fake WeChat must be as strict as the real one, or every other test proves little."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from wechatpy.crypto import WeChatCrypto

from sandbox.fake_codec import BadReply, Envelope, from_xml, sign, to_xml
from sandbox.fake_wechat import NOTICE, Account, FakeWeChat
from tests.sandbox.webhook import ACCOUNT, Bot, running, text_reply

VECTORS = Path(__file__).parents[3] / "shared/fixtures/wechat/crypto/vectors.json"


class Clock:
    """Unix seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.at = 1_763_600_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def bot() -> Bot:
    return Bot()


@pytest.fixture
async def fake(bot: Bot, clock: Clock) -> AsyncIterator[FakeWeChat]:
    async with running(bot) as webhook:
        fake = FakeWeChat(ACCOUNT, timeout_s=0.3, now=clock)
        fake.webhook = webhook
        await fake.start()
        yield fake
        await fake.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Api:
    """Calls the fake's API with a good token."""

    def __init__(self, fake: FakeWeChat, http: aiohttp.ClientSession) -> None:
        self.fake = fake
        self.http = http
        self.token = ""

    async def stable(self, force: bool = False, **changes: Any) -> dict[str, Any]:
        body = {
            "grant_type": "client_credential",
            "appid": ACCOUNT.app_id,
            "secret": ACCOUNT.app_secret,
            "force_refresh": force,
        } | changes
        url = f"{self.fake.api_base}/cgi-bin/stable_token"
        async with self.http.post(url, json=body) as response:
            answer: dict[str, Any] = await response.json()
        self.token = answer.get("access_token", self.token)
        return answer

    async def call(self, path: str, body: Any = None, token: str | None = None) -> dict[str, Any]:
        if token is None and not self.token:
            await self.stable()
        url = f"{self.fake.api_base}/cgi-bin/{path}"
        params = {"access_token": self.token if token is None else token}
        if body is None:
            response = await self.http.get(url, params=params)
        else:
            data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False)
            response = await self.http.post(url, params=params, data=data)
        answer: dict[str, Any] = await response.json()
        return answer

    async def say(self, openid: str, text: str = "你好") -> int:
        body = {"touser": openid, "msgtype": "text", "text": {"content": text}}
        return int((await self.call("message/custom/send", body))["errcode"])


@pytest.fixture
async def api(fake: FakeWeChat, http: aiohttp.ClientSession) -> Api:
    return Api(fake, http)


# Deliveries


async def test_a_sealed_question_gets_its_sealed_answer(fake: FakeWeChat, bot: Bot) -> None:
    delivery = await fake.send_text("o_lin", "怎么退款 ]]> 🙂")
    assert (delivery.outcome, delivery.text) == ("replied", "好的")
    assert bot.seen[0]["Content"] == "怎么退款 ]]> 🙂"
    assert "FromUserName" not in bot.bodies[0]
    received = fake.members["o_lin"].inbox
    assert [(one.kind, one.content, one.route) for one in received] == [("text", "好的", "passive")]


async def test_the_url_check_needs_the_echo(fake: FakeWeChat, bot: Bot) -> None:
    assert await fake.verify_url()
    bot.account = replace(ACCOUNT, token="another")
    assert not await fake.verify_url()


async def test_a_slow_answer_is_asked_for_again_with_the_same_message_and_a_new_signature(
    fake: FakeWeChat, bot: Bot
) -> None:
    bot.delays_s = [1.0]
    delivery = await fake.send_text("o_lin", "在吗")
    assert [attempt.status for attempt in delivery.attempts] == [None, 200]
    assert "no answer within 0.3 s" in delivery.attempts[0].error
    assert bot.seen[0] == bot.seen[1]
    assert bot.queries[0]["nonce"] != bot.queries[1]["nonce"]
    assert len(fake.members["o_lin"].inbox) == 1


async def test_after_three_deliveries_the_member_sees_the_notice(
    fake: FakeWeChat, bot: Bot
) -> None:
    bot.statuses = [500, 502, 403]
    delivery = await fake.send_text("o_lin", "在吗")
    assert [attempt.status for attempt in delivery.attempts] == [500, 502, 403]
    assert delivery.outcome == "unavailable"
    assert [one.content for one in fake.members["o_lin"].inbox] == [NOTICE]


async def test_nobody_listening_is_an_outcome_not_an_error(fake: FakeWeChat) -> None:
    fake.webhook = "http://127.0.0.1:1/hook/mp"
    delivery = await fake.send_text("o_lin", "在吗")
    assert delivery.outcome == "unavailable"
    assert {attempt.status for attempt in delivery.attempts} == {None}
    assert len(delivery.attempts) == 3


@pytest.mark.parametrize(("answer", "outcome"), [("success", "success"), ("", "empty")])
async def test_success_and_nothing_show_nothing(
    fake: FakeWeChat, bot: Bot, answer: str, outcome: str
) -> None:
    bot.raw_answer = answer
    delivery = await fake.send_text("o_lin", "在吗")
    assert (delivery.outcome, len(delivery.attempts)) == (outcome, 1)
    assert fake.members["o_lin"].inbox == []


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ('{"MsgType": "text"}', "not well-formed"),
        ("<html>oops</html>", "root element"),
        ("<xml><MsgType>text</MsgType></xml>", "safe mode"),
        ("<xml><Encrypt>x</Encrypt></xml>", "TimeStamp is missing"),
        (
            "<xml><Encrypt>QUJD</Encrypt><MsgSignature>00</MsgSignature>"
            "<TimeStamp>1</TimeStamp><Nonce>2</Nonce></xml>",
            "MsgSignature is wrong",
        ),
        ('<!DOCTYPE xml [<!ENTITY a "b">]><xml>&a;</xml>', "DTD"),
    ],
)
async def test_a_malformed_answer_is_not_repeated_and_shows_the_notice(
    fake: FakeWeChat, bot: Bot, answer: str, complaint: str
) -> None:
    bot.raw_answer = answer
    delivery = await fake.send_text("o_lin", "在吗")
    assert delivery.outcome == "unavailable"
    assert len(delivery.attempts) == 1
    assert complaint in delivery.attempts[0].error
    assert [one.kind for one in fake.members["o_lin"].inbox] == ["notice"]


def _news(count: int) -> str:
    item = "<item><Title>课</Title><Description/><PicUrl/><Url>https://x.test</Url></item>"
    return (
        "<xml><ToUserName>o_lin</ToUserName><FromUserName>gh_demo</FromUserName>"
        "<CreateTime>1</CreateTime><MsgType>news</MsgType>"
        f"<ArticleCount>{count}</ArticleCount><Articles>{item * count}</Articles></xml>"
    )


async def test_one_article_answers_a_text_and_eight_a_click(fake: FakeWeChat, bot: Bot) -> None:
    bot.clear_answer = _news(2)
    refused = await fake.send_text("o_lin", "课程")
    assert "2 articles" in refused.attempts[0].error
    assert (await fake.click_menu("o_lin", "COURSES")).outcome == "replied"
    bot.clear_answer = _news(1)
    assert (await fake.send_text("o_lin", "课程")).outcome == "replied"
    card = fake.members["o_lin"].inbox[-1].articles[0]
    assert (card["title"], card["url"]) == ("课", "https://x.test")


async def test_an_answer_longer_than_2048_bytes_or_blank_is_refused(
    fake: FakeWeChat, bot: Bot
) -> None:
    for text, complaint in [("好" * 683, "2049 bytes"), (" ", "empty")]:
        bot.say = text
        delivery = await fake.send_text("o_lin", "在吗")
        assert complaint in delivery.attempts[0].error


async def test_an_answer_for_somebody_else_is_refused(fake: FakeWeChat, bot: Bot) -> None:
    bot.clear_answer = text_reply({"FromUserName": "o_chen", "ToUserName": "gh_demo"}, "嗨")
    delivery = await fake.send_text("o_lin", "在吗")
    assert "ToUserName" in delivery.attempts[0].error


async def test_parallel_copies_show_one_answer(fake: FakeWeChat, bot: Bot) -> None:
    fields = fake.message("o_lin", "text", Content="签到")
    delivery = await fake.deliver(fields, parallel=5, fresh_nonce=False)
    assert len(delivery.attempts) == len(bot.seen) == 5
    assert {query["nonce"] for query in bot.queries} == {bot.queries[0]["nonce"]}
    assert len(fake.members["o_lin"].inbox) == 1


@pytest.mark.parametrize("mode", ["plain", "compatible"])
async def test_the_other_modes_speak_clearly(bot: Bot, mode: Any) -> None:
    account: Account = replace(ACCOUNT, mode=mode)
    bot.seal = False
    async with running(bot) as webhook:
        fake = FakeWeChat(replace(account, webhook=webhook))
        delivery = await fake.send_text("o_lin", "在吗")
        await fake.close()
    assert delivery.outcome == "replied"
    assert "在吗" in bot.bodies[0]
    assert ("encrypt_type" in bot.queries[0]) == (mode == "compatible")


async def test_a_json_account_wants_json(bot: Bot) -> None:
    account = replace(ACCOUNT, body="json")
    fake = FakeWeChat(account)
    post = fake.post(fake.message("o_lin", "text", Content="在吗", MsgId=7))
    body = json.loads(post.body)
    assert set(body) == {"ToUserName", "Encrypt"}
    opened = WeChatCrypto(account.token, account.aes_key, account.app_id).decrypt_message(
        {"Encrypt": body["Encrypt"]},
        post.query["msg_signature"],
        post.query["timestamp"],
        post.query["nonce"],
    )
    assert json.loads(opened)["MsgId"] == 7
    reply = {
        "ToUserName": "o_lin",
        "FromUserName": "gh_demo",
        "CreateTime": 1,
        "MsgType": "news",
        "ArticleCount": 1,
        "Articles": [{"Title": "课", "Url": "https://x.test"}],
    }
    envelope = Envelope(account.aes_key, account.app_id, lambda n: b"r" * n)
    sealed = envelope.seal(json.dumps(reply))
    answer = {"Encrypt": sealed, "TimeStamp": 9, "Nonce": "n"}
    answer["MsgSignature"] = sign(account.token, "9", "n", sealed)
    bot.raw_answer = json.dumps(answer)
    bot.reads = False
    async with running(bot) as webhook:
        fake.webhook = webhook
        delivery = await fake.send_text("o_lin", "课程")
        bot.raw_answer = "<xml/>"
        refused = await fake.send_text("o_lin", "课程")
        await fake.close()
    assert delivery.outcome == "replied"
    assert fake.members["o_lin"].inbox[0].articles[0]["title"] == "课"
    assert "not JSON" in refused.attempts[0].error


# Followers


async def test_following_by_qr_code_carries_the_scene_and_a_scan_by_followers_does_not(
    fake: FakeWeChat, bot: Bot
) -> None:
    await fake.scan("o_lin", "r:42")
    await fake.scan("o_lin", "r:43")
    assert [(one["Event"], one["EventKey"]) for one in bot.seen] == [
        ("subscribe", "qrscene_r:42"),
        ("SCAN", "r:43"),
    ]
    assert all(one["Ticket"] for one in bot.seen)


async def test_nothing_reaches_a_member_who_left(fake: FakeWeChat, api: Api) -> None:
    await fake.follow("o_lin")
    before = len(fake.members["o_lin"].inbox)
    await fake.unfollow("o_lin")
    assert len(fake.members["o_lin"].inbox) == before
    assert await api.say("o_lin") == 43004


# Tokens


async def test_the_stable_token_stays_the_same_until_its_last_five_minutes(
    api: Api, clock: Clock
) -> None:
    first = await api.stable()
    assert first["expires_in"] == 7200
    clock.at += 6800
    assert (await api.stable())["access_token"] == first["access_token"]
    clock.at += 150
    assert (await api.stable())["access_token"] != first["access_token"]
    menu = await api.call("getcallbackip", token=first["access_token"])
    assert menu == {"ip_list": ["127.0.0.1"]}
    clock.at += 300
    assert (await api.call("getcallbackip", token=first["access_token"]))["errcode"] == 42001


async def test_a_forced_refresh_kills_the_old_token_and_not_twice_in_30_seconds(
    api: Api, clock: Clock
) -> None:
    first = (await api.stable())["access_token"]
    second = (await api.stable(force=True))["access_token"]
    assert first != second
    assert (await api.call("getcallbackip", token=first))["errcode"] == 40001
    assert (await api.stable(force=True))["errcode"] == 45011
    clock.at += 31
    assert "access_token" in await api.stable(force=True)


async def test_wrong_credentials_are_told_apart(api: Api) -> None:
    assert (await api.stable(secret="wrong"))["errcode"] == 40001
    assert (await api.stable(appid="wx0"))["errcode"] == 40013
    assert (await api.stable(grant_type="x"))["errcode"] == 40002
    assert (await api.call("getcallbackip", token=""))["errcode"] == 41001
    assert (await api.call("getcallbackip", token="nonsense"))["errcode"] == 40001
    assert api.fake.token_fetches == 3


async def test_the_old_endpoint_gives_a_new_token_each_time(
    fake: FakeWeChat, http: aiohttp.ClientSession, api: Api, clock: Clock
) -> None:
    params = {
        "grant_type": "client_credential",
        "appid": ACCOUNT.app_id,
        "secret": ACCOUNT.app_secret,
    }
    tokens = []
    for _ in range(2):
        async with http.get(f"{fake.api_base}/cgi-bin/token", params=params) as response:
            tokens.append((await response.json())["access_token"])
    assert tokens[0] != tokens[1]
    assert "ip_list" in await api.call("getcallbackip", token=tokens[0])
    clock.at += 301
    assert (await api.call("getcallbackip", token=tokens[0]))["errcode"] == 42001
    assert "ip_list" in await api.call("getcallbackip", token=tokens[1])


# Customer-service messages


async def test_a_message_allows_five_answers_for_48_hours(
    fake: FakeWeChat, bot: Bot, api: Api, clock: Clock
) -> None:
    bot.say = None
    await fake.send_text("o_lin", "在吗")
    clock.at += 47 * 3600
    assert [await api.say("o_lin") for _ in range(6)] == [0, 0, 0, 0, 0, 45047]
    clock.at += 3601
    assert await api.say("o_lin") == 45015
    assert [one.route for one in fake.members["o_lin"].inbox] == ["custom"] * 5


@pytest.mark.parametrize(
    "act",
    [
        lambda fake: fake.click_menu("o_lin", "HELP"),
        lambda fake: fake.follow("o_lin"),
        lambda fake: fake.click_link("o_lin", "1"),
    ],
)
async def test_a_click_or_follow_allows_three_for_a_minute(
    fake: FakeWeChat, api: Api, clock: Clock, act: Callable[[FakeWeChat], Any]
) -> None:
    await act(fake)
    assert [await api.say("o_lin") for _ in range(4)] == [0, 0, 0, 45047]
    clock.at += 61
    assert await api.say("o_lin") == 45015


async def test_a_click_never_adds_to_what_a_message_left(
    fake: FakeWeChat, api: Api, clock: Clock
) -> None:
    await fake.send_text("o_lin", "在吗")
    await api.say("o_lin")
    await fake.click_menu("o_lin", "HELP")
    assert fake.allowance("o_lin") == 4
    assert [await api.say("o_lin") for _ in range(5)] == [0, 0, 0, 0, 45047]


async def test_a_view_event_opens_no_window(fake: FakeWeChat, api: Api) -> None:
    await fake.send_event("o_lin", "VIEW", "https://x.test")
    assert await api.say("o_lin") == 45015


async def test_bad_customer_service_messages_get_their_codes(fake: FakeWeChat, api: Api) -> None:
    await fake.send_text("o_lin", "在吗")
    article = {"title": "课", "url": "https://x.test"}
    cases: list[tuple[dict[str, Any], int]] = [
        ({"msgtype": "text", "text": {"content": "好" * 683}}, 45002),
        ({"msgtype": "text", "text": {"content": " "}}, 44004),
        ({"msgtype": "text"}, 44004),
        ({"msgtype": "poem", "poem": {}}, 40008),
        ({"msgtype": "image", "image": {}}, 40007),
        ({"msgtype": "news", "news": {"articles": [article] * 2}}, 45008),
        ({"msgtype": "news", "news": {"articles": []}}, 44003),
        ({"msgtype": "news", "news": {"articles": [article]}}, 0),
    ]
    for body, errcode in cases:
        answer = await api.call("message/custom/send", {"touser": "o_lin"} | body)
        assert answer["errcode"] == errcode, body
    assert await api.say("o_nobody") == 40003
    escaped = json.dumps({"touser": "o_lin", "msgtype": "text", "text": {"content": "好"}})
    assert (await api.call("message/custom/send", escaped.encode()))["errcode"] == 40033
    assert (await api.call("message/custom/send", b"{"))["errcode"] == 47001
    assert [one.kind for one in fake.members["o_lin"].inbox] == ["text", "news"]


async def test_an_unverified_account_may_not_send(
    fake: FakeWeChat, api: Api, http: aiohttp.ClientSession
) -> None:
    await fake.send_text("o_lin", "在吗")
    fake.account = replace(ACCOUNT, kind="subscription", verified=False)
    assert await api.say("o_lin") == 48001


# The switches and the rest of the API


async def test_the_switches_break_the_api(
    fake: FakeWeChat, api: Api, http: aiohttp.ClientSession
) -> None:
    await fake.send_text("o_lin", "在吗")
    await api.stable()
    fake.api_errors["/cgi-bin/message/custom/send"] = [-1, 45009]
    assert [await api.say("o_lin") for _ in range(3)] == [-1, 45009, 0]
    assert fake.calls["/cgi-bin/message/custom/send"] == 3
    fake.api_down = True
    async with http.get(f"{fake.api_base}/cgi-bin/getcallbackip") as response:
        assert response.status == 503
    fake.api_down, fake.api_drop = False, True
    with pytest.raises(aiohttp.ClientError):
        await http.get(f"{fake.api_base}/cgi-bin/getcallbackip")
    fake.api_drop, fake.api_hang_s = False, 0.5
    with pytest.raises(TimeoutError):
        await http.get(f"{fake.api_base}/cgi-bin/getcallbackip", timeout=aiohttp.ClientTimeout(0.1))


async def test_an_unknown_path_is_404_with_an_errcode(
    fake: FakeWeChat, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{fake.api_base}/cgi-bin/nonsense") as response:
        assert response.status == 404
        assert (await response.json())["errcode"] == 40066


async def test_a_menu_can_be_made_read_and_removed(fake: FakeWeChat, api: Api) -> None:
    click = {"type": "click", "name": "帮助", "key": "HELP"}
    menu = {"button": [click, {"name": "更多", "sub_button": [click] * 5}]}
    assert (await api.call("menu/get"))["errcode"] == 46003
    assert (await api.call("menu/create", menu))["errcode"] == 0
    assert (await api.call("menu/get"))["menu"] == menu
    assert (await api.call("menu/create", {"button": [click] * 4}))["errcode"] == 40016
    many = {"button": [{"name": "更多", "sub_button": [click] * 6}]}
    assert (await api.call("menu/create", many))["errcode"] == 40023
    assert (await api.call("menu/create", {"button": ["x"]}))["errcode"] == 40016
    assert (await api.call("menu/delete"))["errcode"] == 0
    assert fake.menu is None


async def test_tags_followers_and_qr_codes(fake: FakeWeChat, api: Api) -> None:
    await fake.follow("o_lin", "r:1")
    await fake.follow("o_chen")
    tag = (await api.call("tags/create", {"tag": {"name": "学员"}}))["tag"]["id"]
    assert (await api.call("tags/create", {"tag": {"name": "学员"}}))["errcode"] == 45157
    tagging = {"openid_list": ["o_lin"], "tagid": tag}
    assert (await api.call("tags/members/batchtagging", tagging))["errcode"] == 0
    info = await api.call(f"user/info?openid={'o_lin'}")
    assert (info["tagid_list"], info["qr_scene_str"]) == ([tag], "r:1")
    assert (await api.call("user/tag/get", {"tagid": tag}))["data"]["openid"] == ["o_lin"]
    assert (await api.call("tags/members/batchuntagging", tagging))["errcode"] == 0
    assert (await api.call("tags/getidlist", {"openid": "o_lin"}))["tagid_list"] == []
    page = await api.call("user/get")
    assert (page["total"], page["data"]["openid"]) == (2, ["o_lin", "o_chen"])
    last = await api.call("user/get?next_openid=o_chen")
    assert (last["count"], "data" in last) == (0, False)
    scene = {"action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "r:1"}}}
    made = await api.call("qrcode/create", scene)
    assert made["expire_seconds"] == 60
    assert fake.codes[made["url"]] == ("r:1", fake.now() + 60)
    assert (await api.call("qrcode/create", {"action_name": "X"}))["errcode"] == 40097


async def test_a_picture_can_be_uploaded_and_nothing_else_as_one(
    fake: FakeWeChat, api: Api, http: aiohttp.ClientSession
) -> None:
    await api.stable()

    async def upload(data: bytes) -> dict[str, Any]:
        form = aiohttp.FormData()
        form.add_field("name", "value")
        form.add_field("media", data, filename="a.png")
        url = f"{fake.api_base}/cgi-bin/media/upload"
        params = {"access_token": api.token, "type": "image"}
        async with http.post(url, params=params, data=form) as response:
            answer: dict[str, Any] = await response.json()
        return answer

    picture = b"\x89PNG\r\n\x1a\n--\r\n\r\n"
    assert fake.file((await upload(picture))["media_id"]) == picture
    assert fake.file("of-somebody-else") is None
    assert (await upload(b"%PDF-1.7"))["errcode"] == 40005


async def test_the_wire_shows_both_ways_and_hides_secrets(fake: FakeWeChat, api: Api) -> None:
    stages: list[bool] = []
    fake.wire_listeners.append(lambda entry: stages.append(entry.done))
    await fake.send_text("o_lin", "在吗")
    await api.say("o_lin")
    assert [entry.direction for entry in fake.wire] == ["to_bot", "to_wechat", "to_wechat"]
    assert stages == [False, True] * 3
    delivery = fake.wire[0]
    assert (delivery.attempt, delivery.status) == (1, 200)
    assert "在吗" in delivery.plain
    assert "在吗" not in delivery.body
    assert "好的" in delivery.reply_plain
    everything = repr(list(fake.wire))
    assert api.token not in everything
    assert ACCOUNT.app_secret not in everything


# The codec


def test_the_cipher_agrees_with_wechatpy_both_ways() -> None:
    crypto = WeChatCrypto(ACCOUNT.token, ACCOUNT.aes_key, ACCOUNT.app_id)
    envelope = Envelope(ACCOUNT.aes_key, ACCOUNT.app_id, lambda n: b"r" * n)
    for size in range(70):
        text = "好" + "x" * size
        sealed = envelope.seal(text)
        assert crypto.decrypt_message({"Encrypt": sealed}, sign(*_parts(sealed)), "1", "2") == text
        other = from_xml(crypto.encrypt_message(text, "2", "1"))
        assert envelope.open(other["Encrypt"]) == text


def _parts(sealed: str) -> tuple[str, str, str, str]:
    return (ACCOUNT.token, "1", "2", sealed)


@pytest.mark.skipif(not VECTORS.exists(), reason="shared/fixtures is not beside the project")
def test_the_shared_vectors_open_or_are_refused_as_labelled() -> None:
    opened = refused = 0
    for vector in json.loads(VECTORS.read_text()):
        error = vector.get("expect_error")
        if "encoding_aes_key" not in vector or "encrypt" not in vector or error == "bad_signature":
            continue
        envelope = _envelope(vector)
        if error:
            with pytest.raises(BadReply):
                envelope.open(vector["encrypt"])
            refused += 1
            continue
        clear = envelope.open(vector["encrypt"])
        assert vector.get("plaintext", clear) == clear
        if vector["type"] == "encrypt":
            assert envelope.seal(vector["plaintext"]) == vector["encrypt"]
        opened += 1
    assert opened >= 8
    assert refused >= 8


def _envelope(vector: dict[str, Any]) -> Envelope:
    random_bytes = vector.get("random", "").encode()
    return Envelope(vector["encoding_aes_key"], vector["receive_id"], lambda _n: random_bytes)


def test_xml_survives_the_way_there_and_back() -> None:
    fields = {"a": "x ]]> y & <b>", "n": "7", "list": [{"k": "1"}, {"k": "2"}], "empty": ""}
    assert from_xml(to_xml(fields)) == fields
    assert from_xml(to_xml({"a": "nul\x00 bell\x07"})) == {"a": "nul bell"}
    with pytest.raises(BadReply):
        from_xml("<xml><a></xml>")
