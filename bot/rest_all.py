"""Every operation of the API, in the order of the document."""

from __future__ import annotations

from bot import (
    openapi,
    rest_audiences,
    rest_campaign_reports,
    rest_campaigns,
    rest_community,
    rest_coupons,
    rest_documents,
    rest_events,
    rest_groups,
    rest_hooks,
    rest_insights,
    rest_items,
    rest_links,
    rest_members,
    rest_offers,
    rest_quizzes,
    rest_recommendations,
)
from bot.rest import Operation

_OURS: tuple[Operation, ...] = (
    *rest_items.OPERATIONS,
    *rest_events.OPERATIONS,
    *rest_members.OPERATIONS,
    *rest_community.OPERATIONS,
    *rest_links.OPERATIONS,
    *rest_documents.OPERATIONS,
    *rest_hooks.OPERATIONS,
    *rest_offers.OPERATIONS,
    *rest_coupons.OPERATIONS,
    *rest_quizzes.OPERATIONS,
    *rest_campaigns.OPERATIONS,
    *rest_campaign_reports.OPERATIONS,
    *rest_audiences.OPERATIONS,
    *rest_groups.OPERATIONS,
    *rest_insights.OPERATIONS,
    *rest_recommendations.OPERATIONS,
)

ALL: tuple[Operation, ...] = (*_OURS, openapi.operation(_OURS))
"""The document among them."""
