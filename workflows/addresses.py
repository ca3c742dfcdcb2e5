"""Workflow ids, task queues and search attributes: one place that spells them.

Ids fold the names of repositories, so that there is one story whatever was typed; search attributes show GitHub's own spelling.
"""

from typing import Final

from temporalio.common import SearchAttributeKey

from workflows.rules.names import PullRequestRef, Target

CONTROL: Final = "skeebot-control"
RUNNER: Final = "skeebot-runner"

SCHEMA_STATE: Final = SearchAttributeKey.for_keyword("SchemaState")
REPOSITORY: Final = SearchAttributeKey.for_keyword("Repository")
PULL_REQUEST: Final = SearchAttributeKey.for_keyword("PullRequest")
CLUSTERS: Final = SearchAttributeKey.for_keyword_list("Clusters")
SEARCH_ATTRIBUTES: Final = (SCHEMA_STATE, REPOSITORY, PULL_REQUEST, CLUSTERS)

REGISTRY: Final = "registry"
ROUND: Final = "round"
"""The schedule that looks for lost webhooks, and each workflow that it starts (Temporal adds the time)."""
SHOWS: Final = "Shows"
"""Memo of a pull request's workflow: which head and base its last word was about."""


SEAL_KEY: Final = "SealKey"
"""Memo of the Registry: what the sticky comments are sealed with."""


def runner_watch(host: str) -> str:
    return f"skeebot-runner-watch/{host}"


def runner_control(host: str) -> str:
    return f"skeebot-runner-ctl/{host}"


def pull_request(ref: PullRequestRef) -> str:
    return f"pull-request/{ref.key}"


def pull_requests_of(repository: str) -> str:
    """What the ids of all stories of a repository begin with."""
    return f"pull-request/{repository.casefold()}/"


def cluster_queue(cluster: str, shard: str) -> str:
    return f"cluster-queue/{cluster}/{shard}"


def table_migration(target: Target) -> str:
    return f"migration/{target.cluster}/{target.shard}/{target.schema}/{target.table}"


def migrations_on(cluster: str, shard: str) -> str:
    """How the ids of all migrations on a shard begin."""
    return f"migration/{cluster}/{shard}/"


def by_hand(name: str) -> str:
    return f"by-hand/{name}"


def sweep(repository: str, base: str) -> str:
    """Branches are case-sensitive."""
    return f"sweep/{repository.casefold()}/{base or '*'}"
