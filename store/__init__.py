"""Everything remembered: all SQL of zhiqun, behind verbs of the domain.

Nothing outside this room writes SQL, and this room knows nothing of WeChat. SQLite is
the default; what is peculiar to it stands in `dialect.py`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from pathlib import Path

from store import dialect
from store.activity import Activity
from store.alerts import Alerts
from store.assets import Assets
from store.audience import Audiences
from store.campaign_changes import Campaigns
from store.campaign_outcomes import CampaignReports
from store.catalogue import Catalogue
from store.checkins import Checkins
from store.claimable import Claimable
from store.communities import Communities
from store.consents import Consents
from store.content import Content
from store.coupons import Coupons
from store.courses import Courses
from store.customer_members import CustomerMembers
from store.customer_tasks import CustomerTasks
from store.db import Database, StoreError
from store.deliveries import Deliveries
from store.dialect import Connection
from store.digests import Digests
from store.documents import Documents
from store.edges import Edges
from store.erasures import Erasures
from store.events import Events
from store.feature_pages import FeaturePages
from store.features import Features
from store.freezing import Freezing
from store.funnel import Funnel
from store.gathering import Gathering
from store.group_answers import GroupAnswers
from store.group_campaigns import GroupCampaigns
from store.groups import Groups
from store.hooks import Hooks
from store.interactions import Interactions
from store.journeys import Journeys
from store.keys import Keys
from store.learning import Learning
from store.leases import Leases
from store.ledgers import Audit, Meta, Quota, Tokens
from store.links import Links
from store.mass_quota import MassQuota
from store.members import Members
from store.memberships import Memberships
from store.messages import Messages
from store.mood_labels import MoodLabels
from store.noise_spent import NoiseSpent
from store.notices import Notices
from store.offers import Offers
from store.optouts import Optouts
from store.order import Order
from store.orders import Orders
from store.paces import Paces
from store.parts import Parts
from store.place_costs import PlaceCosts
from store.points import Points
from store.polls import Polls
from store.portraits import Portraits
from store.posts import Posts
from store.profiles import Profiles
from store.pseudonyms import Pseudonyms
from store.purging import Purging
from store.quiz_play import QuizPlay
from store.quiz_rounds import QuizRounds
from store.quizzes import Quizzes
from store.readings import Readings
from store.rec_data import RecData
from store.rec_digests import RecDigests
from store.rec_letters import RecLetters
from store.rec_lists import RecLists
from store.rec_models import RecModels
from store.rec_outcomes import RecOutcomes
from store.rec_tests import RecTests
from store.redemption import Redemptions
from store.referrals import Referrals
from store.segments import Segments
from store.sends import Sends
from store.signups import Signups
from store.streams import Streams
from store.tags import Tags
from store.talk import Talks
from store.terms import Terms
from store.used_up import UsedUp
from store.wechat_tags import WeChatTags
from store.welcomes import Welcomes

__all__ = ["Store", "StoreError"]

MIGRATIONS = (
    "m0001_first",
    "m0002_business",
    "m0003_incentives",
    "m0004_campaigns",
    "m0005_groups",
    "m0006_insights",
    "m0007_recommendations",
)
"""Names of all steps, so that an up-to-date file opens without the migration library."""


def migrate(conn: Connection) -> None:
    """Bring the schema up to date; the library is only loaded when there is work."""
    if set(MIGRATIONS) <= dialect.applied_migrations(conn, "zhiqun"):
        return
    # Imported here: it costs 0.1 s and 14 MB that a running server has no use for.
    from sqlite_utils import Database as Schema

    from store.migrations import migrations

    migrations.apply(Schema(conn))


class Store:
    """The file and its tables. Open it before use; `close` finishes pending writes."""

    def __init__(
        self,
        path: Path,
        *,
        durability: str = "full",
        busy_timeout_s: float = 30.0,
        readers: int = 2,
        patience_s: float = math.inf,
        owners: Iterable[tuple[str, str]] = (),
        observe: Callable[[int], None] | None = None,
    ) -> None:
        self.db = Database(
            path,
            durability=durability,
            busy_timeout_s=busy_timeout_s,
            readers=readers,
            patience_s=patience_s,
            observe=observe,
        )
        self.members = Members(self.db, owners)
        self.memberships = Memberships(self.db, self.members)
        self.messages = Messages(self.db, self.members.follows)
        self.sends = Sends(self.db)
        self.streams = Streams(self.db)
        self.content = Content(self.db)
        self.learning = Learning(self.db)
        self.catalogue = Catalogue(self.db)
        self.courses = Courses(self.db)
        self.interactions = Interactions(self.db)
        self.links = Links(self.db)
        self.documents = Documents(self.db)
        self.hooks = Hooks(self.db)
        self.events = Events(self.db)
        self.orders = Orders(self.db, self.members)
        self.used_up = UsedUp(self.db)
        self.funnel = Funnel(self.db)
        self.keys = Keys(self.db)
        self.quizzes = Quizzes(self.db)
        self.quiz_play = QuizPlay(self.db)
        self.quiz_rounds = QuizRounds(self.db)
        self.tags = Tags(self.db)
        self.segments = Segments(self.db)
        self.audiences = Audiences(self.db)
        self.profiles = Profiles(self.db)
        self.offers = Offers(self.db)
        self.points = Points(self.db)
        self.checkins = Checkins(self.db)
        self.coupons = Coupons(self.db)
        self.claimable = Claimable(self.db)
        self.redemptions = Redemptions(self.db)
        self.referrals = Referrals(self.db, self.members)
        self.campaigns = Campaigns(self.db)
        self.campaign_reports = CampaignReports(self.db)
        self.journeys = Journeys(self.db)
        self.activity = Activity(self.db)
        self.polls = Polls(self.db)
        self.assets = Assets(self.db)
        self.mass_quota = MassQuota(self.db)
        self.leases = Leases(self.db)
        self.paces = Paces(self.db)
        self.deliveries = Deliveries(self.db)
        self.freezing = Freezing(self.db)
        self.group_campaigns = GroupCampaigns(self.db)
        self.parts = Parts(self.db)
        self.gathering = Gathering(self.db)
        self.wechat_tags = WeChatTags(self.db)
        self.optouts = Optouts(self.db)
        self.notices = Notices(self.db)
        self.portraits = Portraits(self.db)
        self.groups = Groups(self.db)
        self.talk = Talks(self.db, self.members.unrecorded)
        self.edges = Edges(self.db)
        self.group_answers = GroupAnswers(self.db)
        self.posts = Posts(self.db)
        self.welcomes = Welcomes(self.db, self.posts)
        self.signups = Signups(self.db)
        self.digests = Digests(self.db)
        self.order = Order(self.db)
        self.customer_tasks = CustomerTasks(self.db)
        self.customer_members = CustomerMembers(self.db, self.members)
        self.consents = Consents(self.db)
        self.place_costs = PlaceCosts(self.db)
        self.features = Features(self.db)
        self.erasures = Erasures(self.db)
        self.pseudonyms = Pseudonyms(self.db)
        self.feature_pages = FeaturePages(self.db)
        self.purging = Purging(self.db)
        self.noise_spent = NoiseSpent(self.db)
        self.readings = Readings(self.db)
        self.mood_labels = MoodLabels(self.db)
        self.alerts = Alerts(self.db)
        self.terms = Terms(self.db)
        self.communities = Communities(self.db)
        self.rec_data = RecData(self.db)
        self.recommendations = RecLists(self.db)
        self.rec_models = RecModels(self.db)
        self.rec_tests = RecTests(self.db)
        self.rec_digests = RecDigests(self.db)
        self.rec_letters = RecLetters(self.db)
        self.rec_outcomes = RecOutcomes(self.db)
        self.audit = Audit(self.db)
        self.quota = Quota(self.db)
        self.tokens = Tokens(self.db)
        self.meta = Meta(self.db)

    @property
    def closing(self) -> bool:
        """Whether writes are no longer taken."""
        return self.db.closing

    async def open(self) -> None:
        """Open the file and bring its schema up to date. Errors: StoreError."""
        await self.db.open(migrate)
        await self.quizzes.load()
        await self.groups.load()
        await self.talk.load()
        await self.signups.load()

    async def close(self) -> None:
        """Finish what was handed over and close the file."""
        await self.db.close()

    async def ping(self) -> None:
        """Returns when the writer has taken a transaction. Errors: StoreError."""
        await self.db.write(lambda conn: None)

    async def backup(self, target: Path) -> None:
        """Copy everything to `target` while the bot goes on. Errors: StoreError, OSError."""
        await self.db.read(lambda conn: dialect.backup(conn, target))

    async def optimise(self) -> None:
        """Housekeeping for quiet hours."""

        def run() -> None:
            conn = dialect.connect(self.db.path)
            try:
                dialect.optimise(conn)
            finally:
                conn.close()

        await asyncio.to_thread(run)

    async def probe(self) -> list[tuple[bool, str]]:
        """Whether the file is sound: (fine, what was looked at and found)."""

        def run(conn: Connection) -> list[tuple[bool, str]]:
            found = dialect.quick_check(conn)
            return [
                (found == "ok", f"integrity: {found}"),
                (True, f"{len(dialect.tables(conn))} tables, schema {MIGRATIONS[-1]}"),
            ]

        return await self.db.read(run)
