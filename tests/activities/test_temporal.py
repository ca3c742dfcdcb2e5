"""What a worker sees to in Temporal when it starts."""

from datetime import timedelta

from activities.temporal import ensure_registry, ensure_rounds, seal_key
from embedded.temporal import TemporalServer
from workflows import addresses

HOURLY, DAILY = timedelta(hours=1), timedelta(days=1)


async def test_the_schedule_of_the_rounds_is_there_once_and_follows_the_settings(temporal_server: TemporalServer) -> None:
    client = await temporal_server.client()
    handle = client.get_schedule_handle(addresses.ROUND)
    await ensure_rounds(client, DAILY)
    await handle.pause(note="maintenance")
    await ensure_rounds(client, HOURLY)
    schedule = (await handle.describe()).schedule
    await handle.delete()
    assert [HOURLY] == [one.every for one in schedule.spec.intervals]
    assert (True, "maintenance") == (schedule.state.paused, schedule.state.note)


async def test_all_workers_seal_with_one_key_which_lives_with_the_registry(temporal_server: TemporalServer) -> None:
    client = await temporal_server.client()
    await ensure_registry(client)
    first = await seal_key(client)
    await ensure_registry(client)
    again = await seal_key(client)
    await client.get_workflow_handle(addresses.REGISTRY).terminate()
    assert (64, first) == (len(first), again)
