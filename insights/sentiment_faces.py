"""What emoticons and emoji stand for, as a word the model knows from everywhere.

Training texts with emoticons come from one place, and WeChat's names are hardly among them. So a
face is read as itself and as the word for it: 难过, 生气, 无语 or 喜欢. Faces that smile and mock
in turns, [微笑] above all, [破涕为笑], [捂脸], [旺柴], [呵呵], stand for no word: what is around
them decides. This table was written by hand, for WeChat, with the emoticons
of the training texts and their labels in sight: where those texts are left out, it is no stranger.
"""

from __future__ import annotations

import re
import zlib

_WORDS: tuple[tuple[str, str], ...] = (
    (
        "喜欢",
        "呲牙 愉快 可爱 色 得意 调皮 憨笑 鼓掌 强 握手 胜利 抱拳 OK 爱心 爱你 玫瑰 拥抱 抱抱 亲亲 "
        "飞吻 嘿哈 耶 加油 666 庆祝 礼物 红包 發 福 太阳 蛋糕 嘴唇 爱情 跳跳 转圈 机智 Yeah! "
        "让我看看 哈哈 嘻嘻 笑哈哈 太开心 赞 给力 威武 good 心 酷 偷乐 得意地笑 "
        "鲜花 烟花 撒花 比心 开心 😀 😃 😄 😁 😆 😊 😍 🥰 😘 😗 😙 😚 😋 😎 🤗 "
        "🤩 🥳 😇 😻 👍 👏 🙌 💪 🎉 🎊 🎁 🌹 🌸 💐 "
        "❤ 💕 💖 💗 💓 💞 💝 💘 💙 💚 💛 💜 🧡 "
        "😌 🤝 👌 ✌ 🏆 🥇 ☺ 😸 😺",
    ),
    (
        "难过",
        "难过 流泪 大哭 委屈 快哭了 心碎 失望 可怜 苦涩 叹气 凋谢 悲伤 伤心 泪 眼泪 崩溃 裂开 衰 "
        "生病 泪流满面 蜡烛 哭 允悲 😭 😢 😞 😔 😟 🙁 ☹ 😣 😖 😫 😩 😥 😓 😪 🥺 💔 😿 🤒 🤕",
    ),
    (
        "生气",
        "发怒 怒 怒骂 咒骂 抓狂 骂人 打脸 敲打 弱 左哼哼 右哼哼 哼 愤怒 炸弹 菜刀 便便 "
        "😡 😠 🤬 😤 👎 🖕 💢 💩 👿",
    ),
    (
        "无语",
        "撇嘴 尴尬 吐 鄙视 白眼 傲慢 晕 汗 流汗 冷汗 擦汗 黑线 无语 翻白眼 挖鼻屎 挖鼻 困 再见 "
        "😒 🙄 😑 😶 🤢 🤮 😨 😰 😱 🤦 😬",
    ),
)
_WORD_OF = {name: word for word, names in _WORDS for name in names.split()}
_FACE = re.compile(
    r"\[[^\[\]\s]{1,8}\]|["
    + "".join(
        name
        for name in _WORD_OF
        if len(name) == 1 and ord(name) > 0x2000 and not "㐀" <= name <= "鿿"
    )
    + "]"
)
_PRIVATE, _PRIVATES = 0xF0000, 65_533
"""Where emoticons in brackets stand: a plane of code points that nobody writes."""


def spelled(text: str) -> str:
    """The text with every face as itself, one character, and the word that it stands for."""
    return _FACE.sub(_one, text)


def _one(found: re.Match[str]) -> str:
    face = found[0]
    if len(face) == 1:
        return _WORD_OF[face] + face
    name = face[1:-1]
    code = zlib.crc32(name.encode("utf-8", "surrogatepass")) % _PRIVATES
    return _WORD_OF.get(name, "") + chr(_PRIVATE + code)
