"""A worker that spawns a run and says so, and is killed by the test. Reads one JSON object from standard input."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from temporalio.testing import ActivityEnvironment

from activities.ghost.run import GhostActivities
from activities.mysql.discovery import Discovery
from activities.settings import RunnerSettings
from embedded.mysql import Schema
from tests.activities.mysql.house import an_order, settings_for
from workflows.messages import PrimaryIdentity, SpawnGhost


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    settings = settings_for(told["passwords"], Path(told["inventory"]))
    ghosts = GhostActivities(RunnerSettings.model_validate(told["runner"]), settings, Discovery(settings))
    order = an_order(Schema(told["schema"], None), "parcels", told["statement"])  # type: ignore[arg-type]  # only its name is used
    ask = SpawnGhost(run_id=told["run_id"], order=order, primary=PrimaryIdentity(**told["primary"]))
    run = await ActivityEnvironment().run(ghosts.spawn_ghost, ask)
    print(json.dumps(asdict(run)), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
