"""What may be said in a customer group, and that it comes back as it was stored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.customer_messages import (
    ATTACHMENT_KINDS,
    Attachment,
    BadMessageShape,
    CustomerMessage,
    check,
    message_from_json,
    message_of,
    message_to_json,
)
from store.posts import Post, PostArticle

LINK = Attachment("link", "题", "https://e.com")
ATTACHMENTS = st.builds(
    Attachment,
    kind=st.sampled_from(ATTACHMENT_KINDS),
    title=st.text(max_size=9),
    url=st.text(max_size=9),
    asset_id=st.none() | st.integers(1, 9),
    app_id=st.text(max_size=9),
)


@given(
    st.builds(
        CustomerMessage,
        text=st.text(max_size=50),
        attachments=st.lists(ATTACHMENTS, max_size=4).map(tuple),
    )
)
@settings(max_examples=60, deadline=None)
def test_a_message_comes_back_as_it_was_stored(message: CustomerMessage) -> None:
    assert message_from_json(message_to_json(message)) == message


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"text": ""}', '{"text": "", "attachments": [1]}',
             '{"text": "", "attachments": 5}', '{"text": "", "attachments": [{"title": ""}]}']
)  # fmt: skip
def test_anything_else_is_no_message(text: str) -> None:
    with pytest.raises(BadMessageShape):
        message_from_json(text)


@pytest.mark.parametrize(
    "message",
    [
        CustomerMessage("a" * 4000),
        CustomerMessage("", (LINK,) * 9),
        CustomerMessage("好", (Attachment("image", asset_id=1),)),
        CustomerMessage("", (Attachment("miniprogram", "店", asset_id=1, app_id="wx", page="p"),)),
    ],
)
def test_what_wecom_takes_is_fine(message: CustomerMessage) -> None:
    check(message)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (CustomerMessage("\n "), "nothing to say"),
        (CustomerMessage("a" * 4001), "over 4000"),
        (CustomerMessage("群" * 1334), "over 4000"),
        (CustomerMessage("", (LINK,) * 10), "10 attachments"),
        (CustomerMessage("", (Attachment("link", "", "https://e.com"),)), "needs title"),
        (CustomerMessage("", (Attachment("link", "题"),)), "needs url"),
        (CustomerMessage("", (Attachment("image"),)), "needs asset_id"),
        (CustomerMessage("", (Attachment("miniprogram", "店", asset_id=1),)), "needs app_id"),
        (
            CustomerMessage("", (Attachment("link", "题", "https://e.com/" + "a" * 2048),)),
            "address",
        ),
        (CustomerMessage("", (Attachment("video"),)), "cannot be"),  # type: ignore[arg-type]
    ],
)
def test_what_wecom_would_refuse_is_said_before(message: CustomerMessage, why: str) -> None:
    with pytest.raises(BadMessageShape, match=why):
        check(message)


def test_a_post_says_the_same_in_a_customer_group() -> None:
    assert message_of(Post("text", "今晚", mentions=("@all",))) == CustomerMessage("今晚")
    news = Post(
        "news", "看", articles=(PostArticle("题", "说", "https://e.com", "https://e.com/p"),)
    )
    link = Attachment("link", "题", "https://e.com", "说", "https://e.com/p")
    assert message_of(news) == CustomerMessage("看", (link,))
    image = Attachment("image", asset_id=3)
    assert message_of(Post("image", asset_id=3)) == CustomerMessage("", (image,))


@pytest.mark.parametrize(
    "post",
    [Post("markdown", "**a**"), Post("card", card={}), Post("file", asset_id=1), Post("text"),
     Post("image"), Post("news", articles=(PostArticle("题"),))],
)  # fmt: skip
def test_a_post_that_cannot_be_said_there_is_refused(post: Any) -> None:
    with pytest.raises(BadMessageShape):
        message_of(post)
