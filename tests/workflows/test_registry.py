"""What may be enrolled and mapped; a mapping that stands for nothing, or for two things, is refused with the way on."""

import uuid
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.worker import Worker

from activities.temporal import workflow_runner
from workflows.registry import Registry, RegistryState
from workflows.rules.commands import AddRepository, MapRepository, RegistryChange, UnmapRepository
from workflows.rules.plan import Enrolment

Handle = WorkflowHandle[Registry, None]


@pytest.fixture
async def registry(temporal: Client) -> AsyncIterator[Handle]:
    """Which knows acme/shop."""
    name = f"registry-{uuid.uuid4()}"
    async with Worker(temporal, task_queue=name, workflows=[Registry], workflow_runner=workflow_runner()):
        handle: Handle = await temporal.start_workflow(Registry.run, RegistryState(), id=name, task_queue=name)
        await changed(handle, AddRepository("acme/shop", owner_team="owners", databases_team="dbas"))
        yield handle


def mapping(path: str, *, database: str = "shop", environment: str = "staging") -> MapRepository:
    return MapRepository("acme/shop", path=path, database=database, environment=environment, cluster="c", schema=path)


def unmapping(path: str, *, environment: str = "staging") -> UnmapRepository:
    return UnmapRepository("acme/shop", path=path, environment=environment)


async def changed(registry: Handle, change: RegistryChange) -> Enrolment:
    return await registry.execute_update(Registry.change, change)


async def refused(registry: Handle, change: RegistryChange) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as wrong:
        await changed(registry, change)
    return str(wrong.value.cause)


def mapped(enrolment: Enrolment) -> list[tuple[str, str, str]]:
    return [(one.environment, one.path, one.database) for one in enrolment.directories]


async def test_a_second_directory_of_one_database_and_environment_is_refused_naming_the_first(registry: Handle) -> None:
    await changed(registry, mapping("schemas/shop"))
    text = await refused(registry, mapping("schemas/archive"))
    assert "schemas/shop is mapped to the database shop in staging already" in text
    assert "repo-unmap acme/shop schemas/shop --environment staging" in text
    await changed(registry, mapping("schemas/archive", database="archive"))
    after = await changed(registry, mapping("schemas/shop", environment="production"))
    assert [
        ("production", "schemas/shop", "shop"),
        ("staging", "schemas/archive", "archive"),
        ("staging", "schemas/shop", "shop"),
    ] == mapped(after)


async def test_a_directory_that_is_mapped_again_takes_its_own_place(registry: Handle) -> None:
    await changed(registry, mapping("schemas/shop"))
    assert [("staging", "schemas/shop", "store")] == mapped(await changed(registry, mapping("schemas/shop", database="store")))
    assert [("staging", "schemas/shop", "store")] == mapped(await changed(registry, mapping("schemas/shop", database="store")))


async def test_an_environment_that_is_not_enrolled_is_refused_with_those_that_are(registry: Handle) -> None:
    text = await refused(registry, mapping("schemas/shop", environment="stagign"))
    assert "stagign is no environment of acme/shop, which has staging and production" in text


async def test_a_mapping_can_be_taken_back_and_given_to_another_directory(registry: Handle) -> None:
    await changed(registry, mapping("schemas/shop"))
    await changed(registry, mapping("schemas/shop", environment="production"))
    after = await changed(registry, unmapping("schemas/shop/"))
    assert [("production", "schemas/shop", "shop")] == mapped(after)
    after = await changed(registry, mapping("schemas/archive"))
    assert [("production", "schemas/shop", "shop"), ("staging", "schemas/archive", "shop")] == mapped(after)


async def test_taking_back_what_is_not_mapped_names_what_is(registry: Handle) -> None:
    await changed(registry, mapping("schemas/shop"))
    assert "acme/shop: schemas/shop in staging" in await refused(registry, unmapping("schemas/shpo"))


async def test_what_a_repository_allows_is_enrolled_with_it(registry: Handle) -> None:
    allowed = AddRepository("acme/shop", owner_team="", databases_team="dbas", quarantine_days=30)
    enrolment = await changed(registry, allowed)
    assert "" == enrolment.owner_team
    assert 30 == enrolment.options.quarantine_days
