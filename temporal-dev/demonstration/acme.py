"""The company of the demo: its people, its teams, its repository, and the change that one of them wants."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from embedded.seed import SCHEMA_OF, SHOP
from tests.fakes.github import GitHubStandIn, Repository, World

REPOSITORY: Final = "acme/shop"
DEVELOPER, OWNER, DBA, BOSS = "dave", "oscar", "dana", "olga"
ENVIRONMENTS: Final = ("staging", "production")
OWNER_TEAM, DATABASES_TEAM = "shop-owners", "databases"

ROLES: Final[Mapping[str, str]] = {
    DEVELOPER: "developer",
    OWNER: "shop owner",
    DBA: "DBA",
    BOSS: "boss",
}

BRANCH: Final = "order-channels"
TITLE: Final = "Remember where orders come from"
DESCRIPTION: Final = """\
We sell in the app and by phone now, and marketing wants to know how much where.

- `orders` remembers its **channel**
- `gift_cards` are new, in time for the season
- `legacy_carts` has had no reader since spring: away with it
"""

_LAST_COLUMN: Final = "  `placed_at` datetime(3) NOT NULL,\n"
_LAST_KEY: Final = "  KEY `by_customer` (`customer_id`,`placed_at`)\n"
_GIFT_CARDS: Final = """\
CREATE TABLE `gift_cards` (
  `code` char(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `order_id` bigint unsigned NOT NULL,
  `balance_cents` int unsigned NOT NULL,
  `expires_on` date DEFAULT NULL,
  PRIMARY KEY (`code`),
  KEY `by_order` (`order_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;
"""


@dataclass(frozen=True)
class Commit:
    """What a developer pushes: path → new content, None where a file goes."""

    message: str
    files: Mapping[str, str | None]


def first_commit() -> Commit:
    """An ALTER of orders, a CREATE of gift_cards, a DROP of legacy_carts."""
    orders = shop_files()["orders/orders.sql"]
    column = "  `channel` varchar(20) NOT NULL DEFAULT 'web',\n"
    return Commit(
        message="Channels for orders, gift cards, no more carts",
        files={
            "orders/orders.sql": orders.replace(_LAST_COLUMN, _LAST_COLUMN + column),
            "orders/gift_cards.sql": _GIFT_CARDS,
            "orders/legacy_carts.sql": None,
        },
    )


def late_commit() -> Commit:
    """One more index on orders, after somebody has approved already."""
    orders = first_commit().files["orders/orders.sql"] or ""
    key = "  KEY `by_channel` (`channel`,`placed_at`)\n"
    return Commit(
        message="An index for the channel report",
        files={"orders/orders.sql": orders.replace(_LAST_KEY, _LAST_KEY.rstrip("\n") + ",\n" + key)},
    )


def shop_files() -> dict[str, str]:
    """The sample repository: path → text."""
    return {str(path.relative_to(SHOP)): path.read_text(encoding="utf-8") for path in sorted(SHOP.rglob("*")) if path.is_file()}


def schema_files(files: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """(schema, table) → CREATE TABLE, of a repository's files."""
    found = {}
    for path, text in files.items():
        folder, _, name = path.rpartition("/")
        if folder in SCHEMA_OF and name.endswith(".sql"):
            found[SCHEMA_OF[folder], name.removesuffix(".sql")] = text
    return found


def found_acme(github: GitHubStandIn) -> Repository:
    """People, teams, the repository with its protected branch, and the App installed."""
    world = github.world
    world.add_org("acme", owners=[BOSS], members=[DEVELOPER, "dora"])
    world.add_team("acme", "developers", members=[DEVELOPER, "dora"])
    world.add_team("acme", OWNER_TEAM, members=[OWNER, "olive"])
    world.add_team("acme", DATABASES_TEAM, members=[DBA, "dirk"])
    owner, name = REPOSITORY.split("/")
    repository = world.create_repository(owner, name, files=shop_files(), author=BOSS, description="The schemas of a small shop")
    world.protect_branch(repository, "main", required_check="SchemaBot", app_id=github.app_id)
    github.install("acme")
    return repository


def push(world: World, commit: Commit) -> str:
    """As the developer; returns the new head."""
    return world.push(REPOSITORY, BRANCH, dict(commit.files), author=DEVELOPER, message=commit.message)
