"""A newcomer's first minute: `zhiqun demo` in a process of its own, its page in a browser.

The browser is headless Chromium, found on this machine and never downloaded; without one
these tests skip. With ZHIQUN_SCREENSHOTS=DIR set, the page as the README shows it is
written to DIR/phone.png, and reports on a phone as docs/insights.md shows them to DIR/report-….png:

    ZHIQUN_SCREENSHOTS=docs/images python -m pytest tests/browser -m browser
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.chrome.service import Service  # noqa: E402 - after the skip
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMEDRIVER = shutil.which("chromedriver")
WAIT_S = 20.0
WORKED_OUT_S = 300.0
"""On a busy machine; the demo's past is worked out beside everything else."""
CHARTS = ".row.in .picture img"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and CHROMEDRIVER),
        reason="no chromium and chromedriver here (Debian: apt install chromium chromium-driver)",
    ),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that `zhiqun demo` prints; it ends by Ctrl-C, with exit code 0."""
    folder = tmp_path_factory.mktemp("demo")
    demo = subprocess.Popen(
        [sys.executable, "-m", "bot", "demo", "--port", "0", "--data", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    lines: queue.Queue[str] = queue.Queue()
    out = demo.stdout
    assert out is not None

    def read() -> None:
        for line in out:
            lines.put(line)

    threading.Thread(target=read, daemon=True).start()
    printed = ""
    try:
        give_up = time.monotonic() + 60
        while (found := re.search(r"http://127\.0\.0\.1:\d+/", printed)) is None:
            try:
                printed += lines.get(timeout=0.5)
            except queue.Empty:
                assert demo.poll() is None, printed
                assert time.monotonic() < give_up, f"no address in 60 s: {printed}"
        yield found[0]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(15) == 0
        while not lines.empty():
            printed += lines.get()
        assert "Traceback" not in printed
        assert "error" not in printed.lower(), printed
    finally:
        demo.kill()
        demo.wait()


class Browser:
    """The page in Chromium, by what a visitor sees of it."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        driver.get(url)
        self.wait("body[data-ready=yes]")

    def all(self, css: str) -> list[Any]:
        found: list[Any] = self.driver.find_elements(By.CSS_SELECTOR, css)
        return found

    def wait(self, css: str, text: str = "") -> Any:
        """The first visible element whose text holds `text`, as soon as there is one."""

        def look(_: Any) -> Any:
            for one in self.all(css):
                if one.is_displayed() and text in one.text:
                    return one
            return False

        return WebDriverWait(
            self.driver,
            WAIT_S,
            poll_frequency=0.1,
            ignored_exceptions=[_stale()],
        ).until(look, f"nothing shown at {css!r} with {text!r}")

    def click(self, css: str, text: str = "") -> None:
        self.wait(css, text).click()

    def become(self, name: str) -> None:
        self.click("#people button", name)
        self.wait("#people button[aria-selected=true]", name)

    def say(self, text: str) -> None:
        self.wait("[data-test=input]:enabled").send_keys(text)
        self.click("[data-test=send]")
        self.wait(".row.out .bubble", text)

    def write(self, *lines: str) -> None:
        """Several lines in one message, sent by Enter."""
        field = self.wait("[data-test=input]:enabled")
        for number, line in enumerate(lines):
            if number:
                field.send_keys(Keys.SHIFT, Keys.ENTER, Keys.NULL)
            field.send_keys(line)
        field.send_keys(Keys.ENTER)
        self.wait(".row.out .bubble", lines[-1])

    def texts(self, css: str) -> list[str]:
        return [one.text for one in self.all(css)]


def _stale() -> type[Exception]:
    from selenium.common.exceptions import StaleElementReferenceException

    return StaleElementReferenceException


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One Chromium for the module: it starts in seconds, a page loads in none."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,800",
        "--lang=zh-CN",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=CHROMEDRIVER))
    try:
        # The window counts its own frame, if it has one: what matters is the page's size.
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False},
        )
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(url: str, chromium: Any) -> Iterator[Browser]:
    """The page loaded anew, with nothing kept from the visit before."""
    chromium.get(url)
    chromium.execute_script("localStorage.clear(); sessionStorage.clear()")
    chromium.delete_all_cookies()
    yield Browser(chromium, url)
    # Reading the log empties it: each visit answers for its own lines.
    problems = [one for one in chromium.get_log("browser") if one["level"] == "SEVERE"]
    assert problems == []


def _keep(picture: bytes, name: str = "phone") -> None:
    """A picture for the guides, when somebody asks for it."""
    assert picture.startswith(b"\x89PNG")
    folder = os.environ.get("ZHIQUN_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.png").write_bytes(picture)


def test_the_first_minute_on_the_phone(browser: Browser) -> None:
    browser.become("林晓")
    browser.click("[data-test=follow]", "关注")
    browser.wait(".row.in .bubble", "欢迎来到知行小课")

    browser.say("怎么退款")
    answer = browser.wait(".row.in .bubble", "（回复「有用」或「没用」告诉我）").text
    assert "退" in answer

    browser.click("#wire .card.delivery:first-child summary")
    opened = browser.wait("#wire .card[open]", "解密之后").text
    assert "<Encrypt>" in opened, "the wire shows the message as it travelled"
    assert "<Content><![CDATA[怎么退款]]></Content>" in opened
    assert "msg_signature" in opened
    _keep(browser.driver.get_screenshot_as_png())
    browser.click("#wire .card[open] summary")

    browser.click("#menu .top > button", "看内容")
    browser.wait("#chat .system", "点击菜单「看内容」")
    browser.wait(".row.in .bubble", "这些内容可以学，回复数字看详情")

    cards = browser.texts("#wire .card.delivery summary")
    assert len(cards) == 3
    assert "菜单点击" in cards[0]
    assert "「怎么退款」" in cards[1]
    assert "关注事件" in cards[2]
    assert all("林晓" in card and "第 1/3 次" in card for card in cards)
    assert all("200 已回复" in card for card in cards)
    assert any("设置菜单" in card for card in browser.texts("#wire .card.api summary"))


def test_the_operator_reads_the_numbers_and_a_member_may_not(browser: Browser) -> None:
    browser.become("苏老师")
    browser.click("[data-test=follow]", "关注")
    browser.wait(".row.in .bubble", "欢迎来到知行小课")
    browser.say("/stats")
    numbers = browser.wait(".row.in .bubble", "今天（").text
    assert "问答 44 条，内容 26 条" in numbers

    browser.become("周雨")
    browser.click("[data-test=follow]", "关注")
    browser.say("/stats")
    browser.wait(".row.in .bubble", "这个指令只有运营人员可以用")


def test_a_menu_below_a_button_opens_and_answers(browser: Browser) -> None:
    browser.become("周雨")
    if "取消" not in browser.wait("[data-test=follow]").text:
        browser.click("[data-test=follow]", "关注")
    browser.click("#menu .top > button", "我的")
    browser.click("#menu .sub button", "能做什么")
    browser.wait(".row.in .bubble", "我能帮你做这些")
    assert not any(one.is_displayed() for one in browser.all("#menu .sub"))


def test_an_invitation_is_a_picture_and_a_friends_phone_scans_it(browser: Browser) -> None:
    browser.become("林晓")
    if "取消" not in browser.wait("[data-test=follow]").text:
        browser.click("[data-test=follow]", "关注")
    browser.say("邀请好友")
    picture = browser.wait(".row.in .picture img")
    WebDriverWait(browser.driver, WAIT_S).until(
        lambda _: int(picture.get_property("naturalWidth")) > 200, "the picture is not shown"
    )
    browser.click("[data-test=scan]", "周雨")
    browser.wait("#people button[aria-selected=true]", "周雨")
    browser.wait("#chat .system", "你扫")
    # Whoever invited hears of it at once, so its card may not be the newest.
    browser.wait("#wire .card.delivery", "关注事件（周雨）")
    assert any("生成二维码" in card for card in browser.texts("#wire .card.api summary"))
    assert any("上传图片" in card for card in browser.texts("#wire .card.api summary"))


def test_an_operators_campaign_arrives_on_both_members_phones(browser: Browser) -> None:
    for name in ("林晓", "周雨", "苏老师"):
        browser.become(name)
        if "取消" not in browser.wait("[data-test=follow]").text:
            browser.click("[data-test=follow]", "关注")
        browser.wait(".row.in .bubble", "欢迎来到知行小课")
    browser.write("/campaign new 写两行", "对象：所有人", "文字：今晚见，不想收到请回复退订")
    shown = browser.wait(".row.in .bubble", "没问题就回复「确认").text
    code = re.search(r"确认 ([0-9A-Z]{4})", shown)
    assert code is not None, shown
    browser.say(f"确认 {code[1]}")
    browser.wait(".row.in .bubble", "马上开始")
    for name in ("林晓", "周雨"):
        browser.become(name)
        assert browser.wait(".row.in .bubble.custom", "今晚见").text.startswith("今晚见")


def test_members_talk_in_the_group_beside_the_phones(browser: Browser) -> None:
    def speaks(name: str, text: str) -> None:
        browser.click("#speakers button", name)
        browser.wait("#speakers [aria-checked=true]", name)
        browser.wait("[data-test=groupinput]").send_keys(text, Keys.ENTER)
        browser.wait("#talk .line.mine .words", text)

    browser.wait("#talk .intro", "周末读书会")
    speaks("周雨", "这周读到第三章了 <img src=x onerror=document.title='owned'>")
    browser.click("#speakers button", "林晓")
    browser.click("[data-test=at]", "@知群")
    browser.wait("[data-test=groupinput]").send_keys("怎么退款", Keys.ENTER)
    browser.wait("[data-test=line-bot] .quoted", "林晓：@知群 怎么退款")
    answer = browser.wait("[data-test=line-bot] .words", "@林晓")
    assert "退" in answer.text

    # A tap quotes; that is a way of speaking to the bot, too.
    browser.click("[data-test=line-bot] .words", "@林晓")
    browser.wait("[data-test=quoting]", "引用 知群")
    speaks("何川", "怎么开发票")
    browser.wait("[data-test=line-bot] .quoted", "何川：怎么开发票")
    assert not browser.wait("[data-test=groups]").find_elements(
        By.CSS_SELECTOR, "#quoting:not([hidden])"
    )

    # What is private stands in a chat of its own, and nowhere in the group.
    browser.click("[data-example='@知群 我的积分']")
    browser.wait("#room-private .badge", "1")
    browser.click("#room-private", "私聊何川")
    browser.wait("[data-test=line-bot] .words", "你有 0 积分")
    browser.click("#room-group")
    browser.wait("[data-test=line-bot] .words", "我私聊回你")
    assert not any("0 积分" in text for text in browser.texts("#talk .words"))

    browser.click("[data-example='有人进群']")
    browser.wait("#speakers button", "小满")
    browser.wait("#talk .told", "小满 加入了群聊")
    browser.click("#room-board")
    browser.wait("#talk .intro", "/group push 公告群")
    assert not browser.all("#talk img")
    assert browser.driver.title == "知行小课"


def test_a_small_screen_shows_one_column_at_a_time(browser: Browser) -> None:
    def width(pixels: int) -> None:
        browser.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": pixels, "height": 800, "deviceScaleFactor": 1, "mobile": False},
        )

    width(390)
    try:
        for view, column in (("群", "#groups"), ("通信过程", "#right"), ("私聊", "#left")):
            browser.click("#views button", view)
            browser.wait(column)
            shown = [one for one in browser.all("main > section") if one.is_displayed()]
            assert [one.get_attribute("id") for one in shown] == [column[1:]]
            wide = browser.driver.execute_script("return document.documentElement.scrollWidth")
            assert wide <= 390, f"{view} does not fit"
    finally:
        width(1280)


def test_what_a_member_writes_is_never_markup(browser: Browser) -> None:
    browser.become("周雨")
    if "取消" not in browser.wait("[data-test=follow]").text:
        browser.click("[data-test=follow]", "关注")
    browser.say("<img src=x onerror=document.title='owned'> ]]>")
    browser.wait("#wire .card.delivery:first-child", "200 已回复")
    assert browser.driver.title == "知行小课"
    assert browser.all("#chat img, #wire img") == []


@pytest.mark.nightly
def test_reports_are_read_on_a_phone(browser: Browser) -> None:
    """The demo's own past, worked out in the background, at the size of a phone."""

    def shown(picture: Any) -> bool:
        return int(picture.get_property("naturalWidth")) == 1080

    def phone(scale: float, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    phone(1.5, 390, 844)
    try:
        browser.become("苏老师")
        if "取消" not in browser.wait("[data-test=follow]").text:
            browser.click("[data-test=follow]", "关注")
        give_up = time.monotonic() + WORKED_OUT_S
        while not any("【留存】" in text for text in browser.texts(".row.in .bubble")):
            assert time.monotonic() < give_up, "the past is not worked out"
            browser.say("/report retention")
            time.sleep(5)
        for kind, title in (("week", "【一周】"), ("retention", "【留存】"), ("mood", "【情绪】")):
            seen = len(browser.all(CHARTS))
            browser.say(f"/report {kind}")
            browser.wait(".row.in .bubble", title)
            give_up = time.monotonic() + WAIT_S
            while len(found := browser.all(CHARTS)) == seen or not shown(found[-1]):
                assert time.monotonic() < give_up, f"no chart of {kind}"
                time.sleep(0.1)
            browser.driver.execute_script(
                "document.getElementById('phone').scrollIntoView();"
                "const chat = document.getElementById('chat'); chat.scrollTop = chat.scrollHeight"
            )
            _keep(browser.driver.get_screenshot_as_png(), f"report-{kind}")
    finally:
        phone(1.0, 1280, 800)
