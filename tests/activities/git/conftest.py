"""A pull request on the GitHub stand-in, and skeebot's git adapter looking at it over smart HTTP."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from activities.git import GitActivities
from activities.settings import Settings
from tests.fakes.github.bare_git import Files
from tests.fakes.github.fixtures import Acme, acme, github  # noqa: F401  (fixtures)
from tests.fakes.github.objects import PullRequest, Repository
from workflows.messages import Changes, FindChanges
from workflows.rules.names import HeadSha, PullRequestRef
from workflows.rules.plan import Directory, Enrolment

OPTIONS = "schema=orders\ndefault-character-set=utf8mb4\n"


def table(name: str, *columns: str) -> str:
    lines = ["`id` bigint NOT NULL", *(f"`{one}` int DEFAULT NULL" for one in columns), "PRIMARY KEY (`id`)"]
    return f"CREATE TABLE `{name}` (\n  " + ",\n  ".join(lines) + "\n) ENGINE=InnoDB;\n"


SHOP: dict[str, str] = {
    "README.md": "# shop\n",
    "schemas/orders/.skeema": OPTIONS,
    "schemas/orders/orders.sql": table("orders", "total"),
    "schemas/orders/customers.sql": table("customers"),
    "schemas/catalog/.skeema": "schema=catalog\n",
    "schemas/catalog/items.sql": table("items"),
    "src/app.py": "print()\n",
}

DIRECTORIES = tuple(
    Directory(path=f"schemas/{name}", database=name, environment=environment, cluster=f"{environment}-main", schema=name)
    for name in ("orders", "catalog")
    for environment in ("staging", "production")
)


@dataclass
class Looking:
    """A repository of Acme with the files of SHOP, and the adapter. Every test that pushes gets its own."""

    acme: Acme
    repository: Repository
    settings: Settings
    activities: GitActivities
    enrolment: Enrolment

    def change(self, files: Files, *, branch: str = "change", onto: str | None = None) -> PullRequest:
        self.acme.world.push(self.repository, branch, files, author="dave", onto=onto)
        return self.acme.world.open_pull_request(self.repository, branch, "main", author="dave")

    def push_to_main(self, files: Files) -> str:
        return self.acme.world.push(self.repository, "main", files, author="olga")

    def question(self, pull: PullRequest, *, from_fork: bool = False, allow_fork: bool = False) -> FindChanges:
        return FindChanges(
            ref=PullRequestRef("acme", self.repository.name, pull.number),
            head_sha=HeadSha(pull.head_sha),
            base_sha=self.acme.world.tip(self.repository, "main"),
            enrolment=self.enrolment,
            from_fork=from_fork,
            allow_fork=allow_fork,
        )

    async def find(self, pull: PullRequest) -> Changes:
        return await self.activities.find_changes(self.question(pull))

    def map(self, *directories: Directory) -> None:
        self.enrolment = replace(self.enrolment, directories=directories)

    def git_requests(self) -> list[str]:
        return [f"{one.method} {one.path.rpartition('.git')[2]}" for one in self.acme.world.requests if one.operation == "git/upload-pack"]


def settings_for(html_url: str, folder: Path, **ceilings: int) -> Settings:
    account = {"user": "nobody", "password": "unused"}
    return Settings.model_validate(
        {
            "github": {
                "html_url": html_url,
                "app_id": 1,
                "private_key_file": folder / "key",
                "webhook_secret_file": folder / "secret",
            },
            "mysql": dict.fromkeys(("read", "direct", "ghost", "verify", "fence", "workspace"), account),
            "diff": {"cache_directory": folder / "cache", "ceilings": ceilings},
            "runner": {"run_directory": folder / "runs"},
            "audit": {"file": folder / "audit"},
        }
    )


def token_for(acme: Acme) -> Callable[[str], Awaitable[str]]:  # noqa: F811 - the fixture's value
    async def token(_: str) -> str:
        return acme.world.issue_token(acme.installation).value

    return token


@pytest.fixture
def looking(acme: Acme, tmp_path: Path) -> Looking:  # noqa: F811 - pytest's way
    repository = acme.world.create_repository("acme", "store", files=SHOP, author="olga")
    settings = settings_for(acme.github.html_url, tmp_path)
    enrolment = Enrolment(repository="acme/store", owner_team="orders-owners", databases_team="databases", directories=DIRECTORIES)
    return Looking(acme, repository, settings, GitActivities(settings, token_for(acme)), enrolment)
