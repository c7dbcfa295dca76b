"""What kind of line it is: an advert's lure, a group's own work, an answer to an operator's call.

A contact or a link says where to go; a lure says why, and only both together are an advert
without doubt. What many members say alike because somebody asked them to (接龙, 已填写, 收到) is no
raid, whatever a model makes of it.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Collection
from typing import NamedTuple

from insights.order_reading import SHORT_HOSTS, Reading, belongs

CALL_S = 86_400.0
"""So long what an operator said is what members may repeat, and link to."""
_CALLS = 8
_CALL_CHARS = 400
_PLACES = 1000

_STRONG = re.compile(
    "日结|日[赚入]|月[赚入]|[躺稳包]赚|轻松赚|赚钱项目|刷单|做单|手机[即就]可|在家可做|零投入|0投入|"
    "返[佣水利现]|高佣|佣金|代开|发票|办证|代考|代写|代刷|包过|枪手|无抵押|秒[批下]|下款|黑户|套现|"
    "网贷|博彩|菠菜|棋牌|彩金|百家乐|下注|投注|娱乐城|上分|六合彩|首充|充[值]?\\d+送|约炮|裸聊|"
    "上门服务|楼凤|外围|成人[视影片]|福利视频|兼职女|学生妹|少妇|收[号卡]|高价[收回]|[收出]微信号|"
    "诚招代理|招代理|代理加盟|引流|涨粉|群发|接广告|荐股|牛股|涨停|内[部幕](?:消息|资料|渠道)|带单|喊单|"
    "usdt|虚拟币|外挂|窃听|监听|开盒|查档|四件套|跑分|洗[钱料]|对公账?户|微商|壮阳|丰胸|"
    "招兼职|兼职招聘日|诚招兼职|兼职日|实力平台|实名号|点击领|送彩|刷[粉赞量]|博[弈彩]"
)
_WEAK = re.compile(
    "兼职|副业|赚钱|本金|提成|收益|贷款|借款|放款|额度|征信|信用卡|招聘|招人|诚聘|急聘|高薪|宝妈|"
    "名额有限|先到先得|限时|限量|免费[领送]|领取|特价|折扣|秒杀|低价|批发|货源|一手|现货|厂家|回收|"
    "出售|收购|代理|加盟|推广|粉丝|接单|承接|合作|团队|股票|投资|理财|合约|币圈|平台|注册|充值|提现|"
    "美女|寂寞|资源|破解|减肥|办理|客服|需要的[加联]|有意[者加]|详[询情]"
)
_ANSWER = re.compile(
    "(?:老师|班长|我们?|本人|[a-z\\d]{0,6}号?)?(?:收到|知道了|好的|谢谢|感谢|辛苦|恭喜|祝|生日快乐|新年|"
    "节日|早上?好|晚上?好|晚安|欢迎|打卡|签到|报名|参加|接龙|"
    "(?:已经?|都)(?:经)?(?:填|完成|提交|上?交|报名|打卡|签到|阅读?|转发?|看|缴|付|确认|知晓|投|关注|"
    "参加|参与|扫|下载|注册|登记|预约|学习?|观看|做)|(?:完成|交作业|作业))"
)
_CHAIN = re.compile(r"\s*#?\s*接龙")
_LISTED = re.compile(r"^\s*\d{1,3}\s?[.、．)]\s?\S", re.MULTILINE)


def lures(reading: Reading, plainly: bool = False) -> bool:
    """Whether it says what people are to come for, in the words of adverts: one that hardly
    anybody else uses, or, unless `plainly`, two that are rare elsewhere."""
    if _STRONG.search(reading.bare):
        return True
    return not plainly and len(set(_WEAK.findall(reading.bare))) > 1


def is_chain(text: str) -> bool:
    """Whether it is a 接龙: its head, and a list that members copy and make longer."""
    return _CHAIN.match(text) is not None and _LISTED.search(text) is not None


def is_answer(reading: Reading) -> bool:
    """Whether it begins like what members say because they were asked: 收到, 已填写, 打卡."""
    return _ANSWER.match(reading.bare) is not None


class _Call(NamedTuple):
    at: float
    bare: str
    hosts: frozenset[str]


class Calls:
    """What operators said lately in each group; the oldest falls out of memory."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, deque[_Call]] = OrderedDict()
        self._callers: OrderedDict[tuple[str, str], None] = OrderedDict()

    def said(self, place: str, who: str, reading: Reading, now: float) -> None:
        """An operator said this."""
        calls = self._said.setdefault(place, deque(maxlen=_CALLS))
        self._said.move_to_end(place)
        # Where a short link leads says nothing of where the next one does.
        named = {link.host for link in reading.links if not link.hidden}
        hosts = frozenset(named - SHORT_HOSTS)
        calls.append(_Call(now, reading.bare[:_CALL_CHARS], hosts))
        self._callers[place, who] = None
        self._callers.move_to_end((place, who))
        for memory in (self._said, self._callers):
            if len(memory) > _PLACES:
                memory.popitem(last=False)

    def hosts(self, place: str, now: float) -> Collection[str]:
        """Hosts that an operator linked to here: members who were sent there may name them."""
        calls = self._said.get(place)
        if calls is None:
            return ()
        return {host for call in calls if abs(now - call.at) <= CALL_S for host in call.hosts}

    def answered(
        self, place: str, reading: Reading, quoted: str, quotes_who: str, now: float
    ) -> bool:
        """Whether a text repeats, quotes or answers what an operator said here.

        quoted: the letters and digits of what it quotes. quotes_who: who wrote that.
        """
        if quotes_who and (place, quotes_who) in self._callers:
            return True
        calls = [one for one in self._said.get(place, ()) if abs(now - one.at) <= CALL_S]
        linked = {link.host for link in reading.links}
        for call in calls:
            if len(quoted) > 3 and quoted[:_CALL_CHARS] in call.bare:
                return True
            if reading.bare and reading.bare[:_CALL_CHARS] in call.bare:
                return True
            if linked and all(belongs(host, call.hosts) for host in linked):
                return True
        return False
