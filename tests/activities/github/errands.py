"""Two small workflows that run the GitHub activities. In a file of their own, so that Temporal's sandbox can load it."""

import asyncio

from temporalio import workflow

from workflows import needs, timing
from workflows.messages import PublishCheck, PublishComment, PullRequestSnapshot, PullRequestView, ReadPullRequest, SetLabels
from workflows.rules.checks import CheckRun, CheckState
from workflows.rules.names import DatabaseRow, Login, PullRequestRef


@workflow.defn
class Look:
    @workflow.run
    async def run(self, ref: PullRequestRef) -> PullRequestSnapshot:
        ask = ReadPullRequest(ref=ref, people=(Login("dirk"),))
        return await workflow.execute_activity(
            needs.read_pull_request, ask, start_to_close_timeout=timing.ONE_LOOK, retry_policy=timing.TRY_AGAIN
        )


@workflow.defn
class Publish:
    @workflow.run
    async def run(self, view: PullRequestView) -> int:
        """Twenty databases at once, then comment and labels. Returns how many different check runs there are."""
        rows = [DatabaseRow("staging", f"db{number:02}") for number in range(20)]
        named: list[tuple[str, DatabaseRow | None]] = [("SchemaBot", None), *((row.check_name("SchemaBot"), row) for row in rows)]
        run_ids = await asyncio.gather(*(self._check(view, name, row) for name, row in named))
        await workflow.execute_activity(
            needs.publish_comment, PublishComment(view=view), start_to_close_timeout=timing.ONE_LOOK, retry_policy=timing.TRY_AGAIN
        )
        labels = SetLabels(ref=view.ref, wanted=(view.protocol.labels.diff,))
        await workflow.execute_activity(needs.set_labels, labels, start_to_close_timeout=timing.ONE_LOOK, retry_policy=timing.TRY_AGAIN)
        return len(set(run_ids))

    async def _check(self, view: PullRequestView, name: str, row: DatabaseRow | None) -> int:
        run = CheckRun(name=name, head_sha=view.head_sha, generation=1, state=CheckState.SUCCESS)
        published = await workflow.execute_activity(
            needs.publish_check,
            PublishCheck(ref=view.ref, run=run, row=row, view=view),
            start_to_close_timeout=timing.ONE_LOOK,
            retry_policy=timing.TRY_AGAIN,
        )
        return published.run_id
