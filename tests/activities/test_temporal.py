"""What a worker sees to in Temporal when it starts."""

from datetime import timedelta

from activities.temporal import ensure_rounds
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
