"""The part of the desk (`bot/campaigning.py`) that has to do with groups: forecast and texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from bot.campaign_content import ContentError
from bot.campaign_lint import told
from bot.config import Config
from bot.group_wording import GroupWording
from handlers.campaigning import Forecast, GroupForecast, Shown
from scheduler import group_campaigns
from scheduler.group_campaigns import GroupWays, Way, WayKind
from scheduler.rules import CampaignRules
from store import Store
from store.campaigns import Campaign


def ways_of(config: Config) -> dict[str, Way]:
    """How each channel of the configuration takes a campaign into its groups; robots that only
    answer are left out."""
    ways = {name: Way("robot", one.per_minute) for name, one in config.group_robots.items()}
    ways |= {name: Way("gateway", one.per_minute) for name, one in config.gateways.items()}
    ways |= {name: Way("task", senders=one.senders) for name, one in config.customers.items()}
    return ways


class GroupDesk:
    """What a campaign would do in its groups, and what it would look like there."""

    def __init__(
        self, store: Store, wording: GroupWording, rules: CampaignRules, ways: GroupWays
    ) -> None:
        self._store = store
        self._wording = wording
        self._rules = rules
        self._ways: Mapping[str, Way] = ways

    async def forecast(self, campaign: Campaign, at: float) -> Forecast:
        """What would happen if it began at `at`, group by group. Errors: StoreError."""
        plan = await group_campaigns.plan(self._store, campaign, self._ways, self._rules, at)
        unsaid = {
            each: await self._unsaid(campaign, *each)
            for each in dict.fromkeys((aim.variant, aim.kind) for aim in plan.aims)
        }
        groups = [
            GroupForecast(
                place=aim.place,
                number=aim.number,
                title=aim.title,
                channel=aim.channel,
                way=aim.kind,
                variant=aim.variant,
                due_at=aim.due_at,
                why=aim.why or unsaid[aim.variant, aim.kind],
                members=aim.members,
            )
            for aim in plan.aims
        ]
        going = [one for one in groups if one.goes]
        return Forecast(
            at=at,
            matched=sum(one.members for one in groups),
            recipients=sum(one.members for one in going),
            held=sum(1 for one in groups if not one.variant),
            skipped=dict(Counter(one.why for one in groups if one.why)),
            variants=dict(Counter(one.variant for one in going)),
            seconds=plan.seconds,
            ends_at=plan.ends_at,
            problems=() if going else ("no_group",),
            groups=tuple(groups),
            employees=plan.employees,
        )

    async def _unsaid(self, campaign: Campaign, variant: str, kind: WayKind | Literal[""]) -> str:
        """ "content" when this way cannot say this variant; "" when it can.

        What is wrong with the variant itself is a finding, and stops more than one group.
        """
        if not variant or not kind:
            return ""
        try:
            await self._wording.shown(campaign.new, variant, kind)
        except ContentError as error:
            return "content" if error.code == "route" else ""
        except ValueError:
            return "content"
        return ""

    async def shown(self, campaign: Campaign) -> tuple[Shown, ...]:
        """Each variant as it stands in the groups; once for each way that shows it differently."""
        found: list[Shown] = []
        for variant in campaign.variants:
            kind = str(variant.content.get("kind", ""))
            texts: dict[str, str] = {}
            for way in self._kinds(campaign):
                try:
                    text = await self._wording.shown(campaign.new, variant.name, way)
                except ContentError as error:
                    text = f"（{told(error)}）"
                except ValueError:
                    text = "（这里发不了）"
                texts.setdefault(text, way)
            several = len(texts) > 1
            found += [
                Shown(variant.name, kind, text, way if several else "")
                for text, way in texts.items()
            ]
        return tuple(found)

    def _kinds(self, campaign: Campaign) -> list[WayKind]:
        """The ways that its groups have, the one of most groups first; a robot's for none."""
        counts: Counter[WayKind] = Counter()
        for place in campaign.places:
            group = self._store.groups.known(place)
            way = None if group is None else self._ways.get(group.route or group.channel)
            if way is not None:
                counts[way.kind] += 1
        return [kind for kind, _ in counts.most_common()] or ["robot"]
