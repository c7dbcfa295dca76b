"""What is kept of people: which table, what for, how long, who sees it. The one place that says so.

`zhiqun privacy map` prints it, docs/privacy.md has it as a table, and a test asks that every
table which names a member, or keeps what one wrote, is in it.
"""

from __future__ import annotations

from typing import NamedTuple


class Kept(NamedTuple):
    """One purpose and what is kept for it. seen: by whom, besides the member themselves."""

    tables: tuple[str, ...]
    what: str
    why: str
    long: str
    seen: str


_ERASED = "until the member is erased"
_CHAT = "operators, in the chat and over REST"

MAP: tuple[Kept, ...] = (
    Kept(
        ("members", "identities", "aliases"),
        "a number, WeChat's or WeCom's ids, whether they follow, names from the shop",
        "to know who writes and to answer",
        _ERASED,
        _CHAT,
    ),
    Kept(
        ("messages", "sends", "streams", "parts"),
        "messages on their way in and answers on their way out",
        "to answer each once, also after a crash",
        "store.keep_messages_h",
        "nobody",
    ),
    Kept(
        ("interactions",),
        "what was said to the bot, when, and what kind of answer it got",
        "to improve answers, to count, to prove what was agreed",
        "privacy.keep_interactions_days",
        "operators with the right to export",
    ),
    Kept(
        ("talk", "edges", "group_members", "streams"),
        "what was said in groups, who turns to whom, names in groups",
        "the digest, order in groups, who gathers; not of who said 别记录我",
        "groups.keep_talk_days; pairs fade and go",
        _CHAT,
    ),
    Kept(
        ("order_cases", "posts"),
        "messages that broke a group's rules; what the bot posts to somebody",
        "order in groups, and that each post goes once",
        "groups.keep_talk_days; posts store.keep_messages_h",
        "operators",
    ),
    Kept(
        ("events",),
        "what was viewed, clicked, bought, learnt",
        "courses, points, refunds, what a campaign led to",
        "looks: privacy.keep_events_days; purchases and progress: while the business keeps books, "
        "as figures of nobody once erased",
        _CHAT,
    ),
    Kept(
        ("states", "attempts"),
        "the open question of a conversation, wrong codes",
        "to go on where one was, to slow guessing",
        "minutes to a day",
        "nobody",
    ),
    Kept(
        ("subscriptions", "optouts", "member_settings", "notice_grants", "reminders"),
        "topics, what they do not want, the name they chose, reminders",
        "to send what is wanted and nothing else",
        _ERASED,
        "operators, as numbers",
    ),
    Kept(
        ("consents",),
        "what they agreed to or refused, when, where, under which notice",
        "to prove it and to keep to it",
        _ERASED + "; a refusal stays as a keyed hash",
        "operators",
    ),
    Kept(
        ("member_tags", "wechat_tagged", "homework", "faq_votes"),
        "tags, homework, ratings",
        "teaching, and answers that get better",
        _ERASED,
        _CHAT,
    ),
    Kept(
        ("coupons", "coupon_steps", "offers"),
        "coupons and what became of them",
        "to honour them once",
        "as figures of nobody once erased",
        _CHAT,
    ),
    Kept(
        ("point_accounts", "point_postings", "point_lots", "point_transfers"),
        "points: a ledger",
        "to pay them rightly",
        "sums as figures of nobody once erased",
        _CHAT,
    ),
    Kept(
        ("checkins", "badges", "memberships", "quiz_attempts", "quiz_answers", "quiz_prizes"),
        "check-ins, badges, tiers, quizzes",
        "to give what was promised",
        _ERASED,
        _CHAT,
    ),
    Kept(
        ("invites", "referrals", "referral_rewards", "signup_entries"),
        "invitations and who came by them, sign-ups",
        "to reward, to plan",
        _ERASED,
        _CHAT,
    ),
    Kept(
        ("deliveries", "journey_members", "mass_received", "customer_tasks"),
        "which campaign reached them",
        "caps, no message twice, what it led to",
        _ERASED + "; counts stay",
        "operators",
    ),
    Kept(
        ("used_up", "known_followers"),
        "keyed hashes of ids: coupons, quizzes and check-ins used up, wishes that outlive erasing",
        "that nobody is rewarded twice by being forgotten, and that 别分析我 stays said",
        "while the offer lasts; wishes until they are taken back",
        "nobody",
    ),
    Kept(
        ("readings", "mood_labels"),
        "mood and words of each message; what operators corrected",
        "to notice who is angry and what is talked about; not of who refused",
        "privacy.keep_readings_days",
        "owners and operators",
    ),
    Kept(
        ("member_features", "member_findings", "community_members"),
        "activity, state, risk of leaving, who leads, which community",
        "to know whom to look after; not of who refused",
        _ERASED + " or refuses; worked out anew every night",
        "owners and operators; analysts see sums of least_people and more",
    ),
    Kept(
        ("recommendations", "rec_lists", "rec_shown"),
        "what they would be shown, what they were shown, and why",
        "to show what fits and nothing twice, to count what it led to; who refused sees what is "
        "popular, without reasons",
        "400 days; worked out anew every night; the reasons until they refuse",
        "operators, as sums; over REST whoever may read members",
    ),
    Kept(
        ("dislikes", "rec_digests"),
        "what they do not want to see, letters they asked for",
        "to keep to it, and that each letter goes once",
        "dislikes " + _ERASED + "; letters 400 days",
        "nobody",
    ),
    Kept(
        ("alerts", "findings"),
        "alerts and reports, with lines about members",
        "to act in time",
        "alerts privacy.keep_alerts_days; reports until the next",
        "as the role allows: figures of few people only to owners",
    ),
    Kept(
        ("hook_deliveries", "idempotency"),
        "what was told to the shop's systems",
        "to tell each thing once",
        "a week after it arrived, ninety days if it did not",
        "whoever runs those systems",
    ),
    Kept(
        ("gaps", "faq_changes"),
        "questions without an answer, in the asker's words; no name with them",
        "to learn the answer",
        "until it is answered; erased with the only one who asked",
        "operators",
    ),
    Kept(
        ("audit", "erasures"),
        "who did what to whom, by number; that somebody was erased",
        "to answer for it",
        "audit for ever, its words until the member is erased; erasures 400 days",
        "owners",
    ),
)


def markdown() -> str:
    """The map as the table of docs/privacy.md."""
    lines = ["| Tables | What | Why | How long | Who sees it |", "|---|---|---|---|---|"]
    for one in MAP:
        names = ", ".join(f"`{name}`" for name in one.tables)
        lines.append(f"| {names} | {one.what} | {one.why} | {one.long} | {one.seen} |")
    return "\n".join(lines)


def plain() -> str:
    """The map for the terminal."""
    return "\n\n".join(
        f"{', '.join(one.tables)}\n  what  {one.what}\n  why   {one.why}\n"
        f"  kept  {one.long}\n  seen  {one.seen}"
        for one in MAP
    )
