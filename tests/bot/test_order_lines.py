"""Order with the shipped model: lines of every day, adverts as they come, a class at work.

All lines are made up. Who is wronged loses trust, so the bounds on ordinary lines are tight: nobody
is warned, and next to nobody is reported.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from bot.group_settings import GroupSettings
from bot.order import Order
from handlers.message import Message, Talk
from handlers.texts import Texts
from insights.order_rules import FEW, Judgement
from insights.spam import SpamModel
from store.groups import Group, GroupRules

NOW = 1_795_228_200.0
MODEL = SpamModel.load()
GROUP = Group(1, "qun:g", "qun", "g", "", "读书会", "", "", GroupRules(order="act"), 0.0, 1.0, None)

ORDINARY = """
早，今天降温了多穿点
收到
好的老师，我周五之前交
这周的录播在哪里看呀
我也想问这个，昨天卡了一晚上
哈哈哈哈哈哈笑不活了
第三题选 B 吧，A 是迷惑项
谢谢班长整理的笔记
今晚几点开始？
八点半，记得提前调麦克风
有人一起打羽毛球吗，体育馆二号场
我把书落教室了，谁看到帮我收一下
明天考试加油呀各位
外面下雨了，带伞
我的快递到了吗，帮我看一下 3 号柜
中午食堂的糖醋排骨还可以
这本书京东 39 块，比当当便宜
《被讨厌的勇气》看完了，推荐
课程原价 599，老学员能便宜多少？
优惠券领了用不了，提示已过期
退款一般几天到账
我报名成功了，订单号 202611210009812
快递单号 YT7712345678901
验证码一直收不到
会员怎么续费，有没有学生价
老师收作业的表格：https://docs.qq.com/sheet/DAbCdEfG
作业交了 https://docs.qq.com/doc/DQwErTy 请老师看看
问卷在这 https://www.wjx.cn/vm/xY12zT.aspx 麻烦大家花两分钟
腾讯会议 https://meeting.tencent.com/dm/aBcDeF12 密码 0412
笔记放网盘了 https://pan.baidu.com/s/1QwErTyUi 提取码 x8f2
今天的推送写得真好 https://mp.weixin.qq.com/s/aBcDeFgHiJ
https://b23.tv/aBcD12 讲得很清楚
https://github.com/python/cpython 自己看源码
课程页 https://shop.zhixing.com/course/7 有大纲
新课在 https://shop.zhixing.com/new 我已经报了，你们呢
飞书文档 https://abc.feishu.cn/docx/AbCd 大家补充
报名表 https://jinshuju.net/f/aBcDeF
推荐个背单词的网站 https://words.example.org
我博客写了篇总结 https://lin.example.com/2026/notes
我手机 13812345678，快递放门口就行
我的微信号是 lin_reads，拉我进小组群
组队的加我微信 su_2024，缺一个写代码的
QQ 123456789，文件太大发不过来
有没有懂税务的朋友，想请教发票怎么开
贷款利率又降了，你们的房贷调了吗
股票别碰了，亏了两个月工资
彩票中了五块钱，请大家喝水
做兼职被骗过，大家小心刷单
现在招聘会要带几份简历
我表哥做保险的，天天让我买
打麻将三缺一
孩子发烧 39 度，请假一天
求推荐考研机构，别太贵
公司楼下健身房倒闭了，会员卡退不了
双十一你们都买了啥
楼下火锅店开业打折，周末约吗
出一张周六话剧票，原价 380，200 出
闲置台灯送人，自取，东门
房子到期了，谁知道附近好租的
顺风车周五晚回杭州，还能坐两个
团建 AA 每人 120，转给我就行
v我50
666666
1
+1
[捂脸]
[图片]
😂😂😂
@所有人 明天停课一天
「张老师：周五交作业」
- - - - - - - - - -
好的老师
#接龙 周六读书会
1. 阿木
2. 小林 带娃
祝老师节日快乐，身体健康，万事如意
恭喜恭喜，沾沾喜气
生日快乐！！🎂🎂🎂
已填写
已完成今日打卡第 21 天
加群的二维码过期了，再发一个
群文件里有，搜第三章
免费讲座周六下午两点，图书馆报告厅
红包手慢无
我退订了那个推送，太烦了
老师讲的 RFM 模型能再讲一遍吗
这道题用 SQL 怎么写
import numpy as np 报错怎么办
The deadline is Friday, right?
领导力那门课还开吗
客服电话打不通，有人知道怎么办吗
平台又崩了，充值的钱没到账，找谁
我注册的时候填错手机号了，能改吗
""".strip().split("\n")

WITH_ADDRESS = """
招兼职刷单，日结300-500，在家可做，加微信 abc88123
低价代开发票，各行各业都可以，加V：fp20993
专业办理贷款，无抵押秒下款，黑户也行，电话13800138000
棋牌平台首充100送88，点击 www.qp8899.com 注册领取彩金
收微信号，高价回收实名号，联系 QQ 123456789
躺赚项目，零投入日入800，加薇信 money6688
内部消息牛股推荐，老师带单，加微信 gupiao999
代写论文包过，各专业，微信 lunwen666
学生党宝妈看过来，手机就能做，日赚200，加我微信 jz20266
百家乐真人视讯，注册送彩金 http://bjl777.vip
USDT 跑分团队招人，高佣日结，联系电报 paofen88
网贷逾期也能下款，额度五万起，加微信 daikuan123
一手货源微商批发，诚招代理，加微信 huoyuan88
外围上门服务，本地学生妹，加微信 meimei521
引流涨粉，抖音快手刷粉刷赞，加微信 fensi666
""".strip().split("\n")
WITHOUT = """
专业代开发票，正规可查，有需要的私聊
兼职刷单，佣金日结，无需经验，名额有限，私聊
高价回收旧手机，银行卡，对公账户，实力收购，长期有效
招兼职，在家手机即可操作，日结三百，有意私聊
约炮裸聊，美女在线等你，看我头像
出售各种实名账号，四件套，质量保证，诚信经营
代办各类证件，学历文凭，快速出证，先办后付款
实力收微信号，老号高价，现结，需要的滴滴我
接广告群发，引流涨粉，量大从优，诚信合作
黑户贷款秒下款，无抵押，不看征信，私聊
""".strip().split("\n")


class Room:
    """One group and an Order without a store: only `judge` is asked."""

    def __init__(self, settings: GroupSettings | None = None) -> None:
        async def nothing(*_: object) -> bool:
            return True

        self.now = NOW
        self.numbers = itertools.count(1)
        self.order = Order(
            None,  # type: ignore[arg-type]  # judging reads no store
            MODEL,
            settings or GroupSettings(),
            Texts.load(),
            hide=nothing,
            tell=nothing,
            posting=frozenset({"qun"}),
            kickers={},
            own_hosts=lambda: {"shop.zhixing.com"},
        )
        self.order.own({"shop.zhixing.com"})

    def say(
        self, text: str, who: str, every: float = 30.0, operator: bool = False, **talk: Any
    ) -> Judgement:
        self.now += every
        key = f"{next(self.numbers):032x}"
        talk_of = Talk("g", message_id=key, **talk)
        message = Message("qun", "bot", who, "text", 1, key, text, talk=talk_of, source="onebot")
        return self.order.judge(message, GROUP, None, self.now, operator=operator)

    def settle(self, who: str) -> None:
        """Somebody who has been around for a while."""
        for word in ("早呀", "在的", "好的", "嗯嗯", "哈哈")[:FEW]:
            assert not self.say(word, who).severity


def told(judgements: list[tuple[str, Judgement]]) -> tuple[list[str], list[str]]:
    """Lines that were warned of, lines that were reported."""
    warned = [line for line, one in judgements if one.severity >= 2]
    return warned, [line for line, one in judgements if one.report]


def test_lines_of_every_day_warn_nobody_and_report_next_to_nobody() -> None:
    """Each by somebody who has talked here before, and each by somebody new."""
    room, other = Room(), Room()
    for number in range(len(ORDINARY)):
        room.settle(f"old{number}")
    old = [(line, room.say(line, f"old{number}")) for number, line in enumerate(ORDINARY)]
    new = [(line, other.say(line, f"new{number}")) for number, line in enumerate(ORDINARY)]
    assert told(old) == ([], [])
    warned, reported = told(new)
    assert warned == []
    assert len(reported) <= 3, reported
    assert not any(one.certain for _, one in (*old, *new))


def test_adverts_that_say_where_to_go_are_warned_of() -> None:
    room = Room()
    said = [(line, room.say(line, f"new{number}")) for number, line in enumerate(WITH_ADDRESS)]
    warned, reported = told(said)
    assert [line for line in WITH_ADDRESS if line not in warned] == []
    assert reported == WITH_ADDRESS
    assert not any(one.certain for _, one in said), "nobody is removed for a guess"


def test_adverts_without_an_address_are_reported_and_stay() -> None:
    room = Room()
    warned, reported = told([(line, room.say(line, f"n{n}")) for n, line in enumerate(WITHOUT)])
    assert warned == []
    assert len(reported) >= 8, set(WITHOUT) - set(reported)


@pytest.mark.parametrize(
    "said",
    [
        "收到",
        "收到，谢谢老师，辛苦了老师们",
        "祝老师节日快乐，桃李满天下，身体健康",
        "已填写问卷 https://www.wjx.cn/vm/abc123.aspx",
        "我已完成打卡 https://daka.app.example/s/abc 一起来加入",
        "已转发，加微信 zhujiao01 领取资料",
        "恭喜发财，大吉大利，年年有余",
        "#接龙 周六读书会\n1. 阿木",
        "我已报名，课程原价599现在299",
        "https://shop.zhixing.com/course/12",
    ],
)
def test_a_class_that_says_what_it_was_asked_to_is_no_raid(said: str) -> None:
    room = Room()
    found = [room.say(said, f"student{number}", 2.0) for number in range(30)]
    assert max(one.severity for one in found) <= 1
    assert not any("raid" in one.reasons or one.certain for one in found)


def test_what_an_operator_called_for_is_answered_in_peace() -> None:
    room = Room()
    call = "请大家填表 https://forms.example.org/a1，加微信 zhujiao01 领取资料，名额有限"
    room.say(call, "teacher", operator=True)
    for number in range(12):
        assert room.say("https://forms.example.org/a1", f"a{number}", 2.0).severity == 0
        line = "领取资料 https://forms.example.org/a1 填完啦，限量优惠"
        assert room.say(line, f"b{number}", 2.0).severity <= 1
        quoting = room.say(
            "加微信 zhujiao01 领取资料", f"c{number}", 2.0, quotes_who="teacher", quoted=call
        )
        assert "raid" not in quoting.reasons


def test_a_sign_up_chain_with_prices_is_no_advert() -> None:
    room = Room()
    head = "#接龙\n团购车厘子，限时特价 168 一份，微信转我\n"
    for number in range(12):
        chain = head + "\n".join(f"{one + 1}. 成员{one}" for one in range(number + 1))
        assert not room.say(chain, f"member{number}", 20.0).severity


def test_an_advert_that_dresses_as_a_chain_is_warned_of() -> None:
    dressed = "#接龙 兼职刷单日结300，加微信 vx12345678\n1. 张三"
    assert Room().say(dressed, "new").severity == 2


def test_several_who_paste_one_advert_are_a_raid() -> None:
    room = Room()
    found = [room.say(WITH_ADDRESS[0], f"raider{number}", 5.0) for number in range(4)]
    assert [one.severity for one in found] == [2, 2, 3, 3]
    assert "raid" in found[-1].reasons
    assert not any(one.certain for one in found)


def test_a_lively_member_is_no_flood_and_a_flood_is_one() -> None:
    words = ("哈哈", "真的吗", "我也是", "刚到家", "累死了", "你们呢", "吃了吗", "我吃的面") * 3
    room = Room()
    assert not any(room.say(word, "lin", 1.5).severity for word in words)
    room = Room()
    fast = [room.say(f"{word} {number}", "su", 0.5) for number, word in enumerate(words[:14])]
    assert [one.severity for one in fast[:10]] == [0] * 10
    assert all(one.reasons == ("flood",) for one in fast[10:])
    assert [one.ongoing for one in fast[10:]] == [False] + [True] * 3
    assert room.say("@小知 帮我签到", "su", 0.3, addressed=True).severity == 0
