"""A campaign into groups: which places it names, and what each of them gets. Pure.

Everybody in a group reads the same, so there is nobody to choose: the places are the list. Who
is held out and which wording a place gets follows from the campaign's seed and its places, so
that whoever asks, and whenever, is told the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.campaigns import Campaign, NewCampaign

ROUTE = "group"
"""The one route of a campaign that has places."""

MOST_PLACES = 2000
LONGEST_PLACE = 200

FEWEST_TO_HOLD = 10
"""With fewer groups nobody is held out: one group says nothing about another."""


def grouped(new: NewCampaign) -> NewCampaign:
    """The same for its places: what only members have is not asked of groups.

    Without places it stays as it is.
    """
    if not new.places:
        return new
    return replace(
        new,
        channel=new.channel or new.places[0].partition(":")[0],
        audience="",
        routes=(ROUTE,),
        topic="",
        timing="at",
        metric="click",
        test_share=0.0,
        test_s=0.0,
    )


def faults(new: NewCampaign) -> Iterator[tuple[str, str]]:
    """What is wrong with the shape of one that has places: (field, why in English)."""
    if len(new.places) > MOST_PLACES or len(set(new.places)) != len(new.places):
        yield "places", f"at most {MOST_PLACES} groups, each once"
    for place in new.places:
        channel, _, group = place.partition(":")
        if not channel or not group or len(place) > LONGEST_PLACE or len(place.split()) != 1:
            yield "places", "each a channel, a colon and the group's id, without blanks"
            break
    if new.kind == "step":
        yield "places", "a step of a journey goes to members"
    if new.audience:
        yield "audience", "none: who is in the groups reads it"
    if new.routes != (ROUTE,):
        yield "routes", f"{ROUTE} alone, with places"
    if new.topic:
        yield "topic", "none: nobody unsubscribes from a group"
    if new.timing != "at":
        yield "timing", "at: a group has no hour of its own"
    if new.test_share:
        yield "test_share", "0: groups are too few for a test"


def _drawn(seed: bytes, place: str) -> bytes:
    return hashlib.blake2b(place.encode(errors="replace"), key=seed[:64], digest_size=8).digest()


def held_of(places: int, holdout: float) -> int:
    """How many of so many groups get nothing: 0 with fewer than ten, else one at least."""
    if places < FEWEST_TO_HOLD or holdout <= 0:
        return 0
    return max(1, int(places * holdout + 0.5))


def assigned(campaign: Campaign) -> dict[str, str]:
    """What each place gets, in their order: a variant's name, "" for who is held out.

    Drawn by lot and dealt out by weight: of four groups and two equal wordings each gets two.
    """
    drawn = sorted(campaign.places, key=lambda place: _drawn(campaign.seed, place))
    held = held_of(len(drawn), campaign.holdout)
    found = dict.fromkeys(drawn[:held], "")
    rest = drawn[held:]
    total = sum(one.weight for one in campaign.variants)
    for number, place in enumerate(rest):
        at = (number + 0.5) / len(rest) * total
        reached = 0
        for one in campaign.variants:
            reached += one.weight
            if at < reached:
                found[place] = one.name
                break
    return {place: found[place] for place in campaign.places}


def key_of(campaign: Campaign, what: str) -> bytes:
    """The name for ever of what a campaign says at a place, or by an employee; 16 bytes."""
    words = f"campaign {campaign.id} {what}".encode(errors="replace")
    return hashlib.blake2b(words, key=campaign.seed[:64], digest_size=16).digest()
