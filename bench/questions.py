"""Three hundred invented FAQ entries of a knowledge business, and how members ask them.

Members rarely type the question as filed: each asking wraps one of several wordings in
an opener and a closer, so that nearly every message is a text never seen before and no
cache of whole answers can help. Same seed, same questions.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.load import Question

_COURSES = (
    "小红书写作课",
    "理财入门课",
    "亲子沟通课",
    "手机摄影课",
    "演讲表达课",
    "Excel 数据课",
    "短视频剪辑课",
    "时间管理课",
    "心理学基础课",
    "英语口语课",
    "产品经理课",
    "书法启蒙课",
)
_COLUMNS = (
    "商业观察专栏",
    "每日读书专栏",
    "健康饮食专栏",
    "职场成长专栏",
    "历史人物专栏",
    "科技前沿专栏",
    "家庭教育专栏",
    "投资笔记专栏",
)
_CAMPS = (
    "早起打卡营",
    "减脂训练营",
    "写作陪跑营",
    "阅读共修营",
    "副业实战营",
    "正念冥想营",
)
_SERVICES = (
    "电子发票",
    "会员卡",
    "优惠券",
    "积分商城",
    "结业证书",
    "分销佣金",
    "企业团购",
    "学习资料包",
    "直播间",
    "手机客户端",
    "作业点评",
)

# (wordings, answer); the first wording is the filed question, the second its alias.
_Intents = tuple[tuple[tuple[str, ...], str], ...]

_ABOUT_COURSES: _Intents = (
    (("{}怎么报名", "如何报名{}", "{}报名入口在哪里"), "打开菜单「课程」，选{}，点立即报名。"),
    (("{}多少钱", "{}的价格是多少", "{}学费多少钱"), "{}现价 299 元，会员八折。"),
    (("{}可以退款吗", "{}能退款吗", "买了{}想退款可以吗"), "{}开课七天内可全额退款。"),
    (("{}什么时候开课", "{}的开课时间", "{}哪天开课"), "{}每月 8 日开课。"),
    (("{}有回放吗", "{}能看回放吗", "{}错过了有没有回放"), "{}的回放长期有效。"),
    (("{}适合零基础吗", "零基础能学{}吗", "没有基础学{}适合吗"), "{}从零讲起，放心来。"),
    (("{}一共多少节", "{}有几节课", "{}总共多少节内容"), "{}共 24 节，每节约 15 分钟。"),
    (("{}的老师是谁", "谁讲{}", "{}是哪位老师讲的"), "{}由三位一线老师合讲。"),
    (("{}怎么交作业", "{}作业在哪里交", "{}的作业如何提交"), "{}的作业在班级页提交。"),
    (("{}可以下载吗", "{}视频能下载吗", "{}怎么下载到手机"), "{}支持在客户端里缓存。"),
    (("{}送教材吗", "{}有教材吗", "学{}有没有配套教材"), "{}附电子教材一份。"),
    (("{}可以转让吗", "{}能转给别人吗", "我想把{}转让给朋友"), "{}绑定本人，暂不能转让。"),
)
_ABOUT_COLUMNS: _Intents = (
    (("{}怎么订阅", "如何订阅{}", "在哪里订阅{}"), "进入{}，点右上角订阅。"),
    (("{}多久更新一次", "{}更新频率", "{}每周更新几次"), "{}每周一、三、五更新。"),
    (("{}一年多少钱", "{}年费是多少", "订{}一年要多少钱"), "{}一年 199 元。"),
    (("怎么取消{}", "取消{}自动续费", "{}怎么关掉续费"), "在「我的订阅」里关闭{}的续费。"),
    (("{}可以试读吗", "{}有免费试读吗", "{}能先试读几篇吗"), "{}前五篇免费试读。"),
    (("{}有音频吗", "{}能听音频吗", "{}有没有音频版"), "{}每篇都配音频。"),
    (("{}能送朋友吗", "{}怎么赠送", "想把{}送给朋友"), "在{}页面点「赠一得一」。"),
    (("{}的往期在哪看", "{}往期文章", "怎么看{}的往期内容"), "{}的往期在目录页。"),
)
_ABOUT_CAMPS: _Intents = (
    (("{}怎么加入", "如何加入{}", "我想加入{}"), "回复助教即可加入{}。"),
    (("{}押金怎么退", "{}的押金什么时候退", "{}押金退还"), "{}押金在结营三天内退回。"),
    (("{}几点打卡", "{}打卡时间", "{}每天几点前打卡"), "{}每天 22 点前打卡。"),
    (("{}漏打卡怎么办", "{}忘记打卡了", "{}可以补打卡吗"), "{}每期有两次补卡机会。"),
    (("{}持续多少天", "{}一期几天", "{}要坚持多少天"), "{}一期 21 天。"),
    (("{}有奖励吗", "{}完成有什么奖励", "坚持完{}有奖品吗"), "完成{}可得 500 积分。"),
    (("{}怎么进群", "{}的群在哪里进", "{}群二维码在哪"), "{}的群码在开营通知里。"),
    (("{}可以请假吗", "{}怎么请假", "{}有事想请假"), "{}每周可请假一天。"),
)
_ABOUT_SERVICES: _Intents = (
    (("{}怎么用", "如何使用{}", "{}的使用方法"), "{}的用法见「帮助中心」第一页。"),
    (("{}在哪里找", "{}在哪里看", "找不到{}了"), "{}在「我的」页面里。"),
    (("{}有效期多久", "{}会过期吗", "{}能用到什么时候"), "{}一年内有效。"),
    (("{}出错了怎么办", "{}打不开", "{}有问题找谁"), "{}异常请发截图，两小时内处理。"),
)

_OPENERS = ("", "请问", "你好，", "老师好，", "想问一下，", "麻烦问下", "您好，请问", "打扰了，")
_CLOSERS = ("", "？", "呀", "呢？", "啊", "，谢谢", "？谢谢老师", "~", "，急", "？在线等")


@dataclass(frozen=True, slots=True)
class Entry:
    """One FAQ row and the wordings members use for it."""

    question: str
    answer: str
    alias: str
    wordings: tuple[str, ...]


def entries() -> list[Entry]:
    """All 300, in a fixed order."""
    found: list[Entry] = []
    for names, intents in (
        (_COURSES, _ABOUT_COURSES),
        (_COLUMNS, _ABOUT_COLUMNS),
        (_CAMPS, _ABOUT_CAMPS),
        (_SERVICES, _ABOUT_SERVICES),
    ):
        for name in names:
            for forms, answer in intents:
                wordings = tuple(form.format(name) for form in forms)
                found.append(Entry(wordings[0], answer.format(name), wordings[1], wordings))
    return found


def write_csv(path: Path) -> int:
    """The file for `import faq`; columns question, answer, aliases. Returns the rows."""
    found = entries()
    with path.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(("question", "answer", "aliases"))
        rows.writerows((entry.question, entry.answer, entry.alias) for entry in found)
    return len(found)


def asked(seed: int = 1) -> Iterator[Question]:
    """Endless questions, any entry as likely as another; each with its true answer."""
    rng = random.Random(seed)
    found = entries()
    while True:
        entry = rng.choice(found)
        text = rng.choice(_OPENERS) + rng.choice(entry.wordings) + rng.choice(_CLOSERS)
        yield Question(text, entry.answer)


def small_talk(seed: int = 1) -> Iterator[Question]:
    """Endless texts that no entry answers; any answer is right."""
    rng = random.Random(seed)
    things = ["天气", "火锅", "地铁", "电影", "球赛", "猫咪", "雨伞", "咖啡", "月亮", "西瓜"]
    moods = ["真好", "好累", "太贵了", "不见了", "挺有意思", "想睡觉", "一言难尽"]
    while True:
        yield Question(f"{rng.choice(things)}{rng.choice(moods)}{rng.randrange(10_000)}")
