"""Check runs and the rules that GitHub keeps about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.fakes.github.conversation import Conversation
from tests.fakes.github.foundation import RepositoryRef, UserRef, atomic
from tests.fakes.github.objects import JSON, App, CheckRun, CheckRunState, Refused

STATUSES = ("queued", "in_progress", "completed", "waiting", "requested", "pending")
CONCLUSIONS = ("action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out")
OUTPUT_BYTES = 65_535
MOST_ANNOTATIONS = 50
MOST_ACTIONS = 3
ACTION_LIMITS = {"label": 20, "description": 40, "identifier": 20}
"""Characters."""
STALE_AFTER = timedelta(days=14)


class Checks(Conversation):
    @atomic
    def create_check_run(self, app: App, repository: RepositoryRef, fields: JSON) -> CheckRun:
        """What `POST /check-runs` does with its JSON body. Only an App may; the newest run of a name counts."""
        repo = self.repository(repository)
        name, sha = fields.get("name"), fields.get("head_sha")
        if not isinstance(name, str) or not name:
            raise _invalid("name", "is required")
        if not isinstance(sha, str) or repo.git.resolve(sha) != sha:
            raise Refused(422, f"No commit found for SHA: {sha}")
        _refuse_bad_fields(fields, title_required=True)
        now = self.now()
        run = CheckRun(
            id=self.next_id(),
            repository=repo,
            app=app,
            name=name,
            head_sha=sha,
            status="queued",
            conclusion=None,
            external_id="",
            details_url=None,
            started_at=now,
            completed_at=None,
            created_at=now,
        )
        self._apply(run, fields)
        repo.check_runs.append(run)
        self._remember(run, app.bot.login)
        self._check_event(run, "created")
        if run.status == "completed":
            self._check_event(run, "completed")
        return run

    @atomic
    def update_check_run(self, run: CheckRun, fields: JSON) -> CheckRun:
        """What `PATCH /check-runs/{id}` does. A completed run is never re-opened: only its output changes then."""
        _refuse_bad_fields(fields, title_required=False)
        if run.status == "completed":
            asked = {k: fields[k] for k in ("status", "conclusion", "name", "external_id") if k in fields}
            ignored = {k: v for k, v in asked.items() if v != getattr(run, k)}
            self._apply_output(run, fields)
            self._remember(run, run.app.bot.login, f"the run had completed: {ignored} was not taken" if ignored else None)
            return run
        self._apply(run, fields)
        self._remember(run, run.app.bot.login)
        if run.status == "completed":
            self._check_event(run, "completed")
        return run

    def _apply(self, run: CheckRun, fields: JSON) -> None:
        run.name = fields.get("name") or run.name
        run.external_id = str(fields.get("external_id", run.external_id))
        run.details_url = fields.get("details_url", run.details_url)
        run.actions = list(fields.get("actions", run.actions))
        run.status = fields.get("status") or run.status
        if "started_at" in fields:
            run.started_at = _moment(fields["started_at"], "started_at")
        if fields.get("conclusion"):
            run.status, run.conclusion = "completed", fields["conclusion"]
        if run.status == "completed":
            if run.conclusion is None:
                raise _invalid("conclusion", "is required when status is completed")
            run.completed_at = _moment(fields.get("completed_at"), "completed_at") or self.now()
        self._apply_output(run, fields)

    def _apply_output(self, run: CheckRun, fields: JSON) -> None:
        output = fields.get("output")
        if output:
            run.title = output.get("title", run.title)
            run.summary, run.text = output["summary"], output.get("text", run.text)
            run.annotations += output.get("annotations") or []

    def _remember(self, run: CheckRun, by: str, ignored: str | None = None) -> None:
        run.history.append(CheckRunState(self.exactly_now(), by, run.status, run.conclusion, run.title, ignored))

    def _check_event(self, run: CheckRun, action: str, by: UserRef | None = None, **extra: object) -> None:
        sender = self.user(by) if by else run.app.bot
        only = run.app if action in ("rerequested", "requested_action") else None
        body: JSON = {"check_run": self.shapes.check_run_in_webhook(run)} | extra
        self.emit("check_run", action, sender, body, repository=run.repository, only=only)

    # --- what people do with checks ---

    @atomic
    def rerequest(self, run: CheckRun | int, *, by: UserRef) -> None:
        """Somebody presses "Re-run": the owning App is told; the run itself stays as it is."""
        self._check_event(self._run(run), "rerequested", by)

    @atomic
    def click_check_action(self, run: CheckRun | int, identifier: str, *, by: UserRef) -> None:
        """Somebody presses one of the buttons that a completed run shows."""
        check = self._run(run)
        offered = [action["identifier"] for action in check.actions]
        if check.status != "completed" or identifier not in offered:
            raise Refused(422, f"{check.name} ({check.status}) shows no button {identifier!r}; it offers {offered}")
        self._check_event(check, "requested_action", by, requested_action={"identifier": identifier})

    @atomic
    def age_checks(self, age: timedelta = STALE_AFTER) -> list[CheckRun]:
        """GitHub's own broom: runs that were incomplete for longer than `age` become `stale`. Returns them."""
        stale = []
        for repo in self.repositories.values():
            for run in repo.check_runs:
                if run.status != "completed" and self.exactly_now() - run.created_at >= age:
                    run.status, run.conclusion, run.completed_at = "completed", "stale", self.now()
                    self._remember(run, "github")
                    self._check_event(run, "completed")
                    stale.append(run)
        return stale

    # --- proofs ---

    def _run(self, ref: CheckRun | int) -> CheckRun:
        if isinstance(ref, CheckRun):
            return ref
        found = self.find_check_run(ref)
        if found is None:
            raise LookupError(f"no check run {ref} in this world")
        return found

    def find_check_run(self, run_id: int) -> CheckRun | None:
        runs = (run for repo in self.repositories.values() for run in repo.check_runs)
        return next((run for run in runs if run.id == run_id), None)

    @atomic
    def check_run_history(
        self, repository: RepositoryRef, sha: str | None = None, name: str | None = None, *, app: App | None = None
    ) -> list[CheckRun]:
        """Every run ever made (on a SHA, of a name, by an App), oldest first; `run.history` has its states and times."""
        return [
            run
            for run in self.repository(repository).check_runs
            if sha in (None, run.head_sha) and name in (None, run.name) and app in (None, run.app)
        ]

    @atomic
    def current_check(self, repository: RepositoryRef, sha: str, name: str, *, app: App | None = None) -> CheckRun | None:
        """The newest run of a name on a commit: the one that GitHub counts."""
        runs = self.check_run_history(repository, sha, name, app=app)
        return runs[-1] if runs else None


def _moment(value: object, field: str) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise _invalid(field, f"{value!r} is not a date-time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).replace(microsecond=0)


def _invalid(field: str, why: str) -> Refused:
    return Refused(
        422,
        f"Invalid request.\n\n“{field}” {why}.",
        [{"resource": "CheckRun", "code": "invalid", "field": field, "message": f"{field} {why}"}],
    )


def _refuse_bad_fields(fields: JSON, *, title_required: bool) -> None:
    status, conclusion = fields.get("status"), fields.get("conclusion")
    if status is not None and status not in STATUSES:
        raise _invalid("status", f"{status!r} is not one of {STATUSES}")
    if conclusion == "stale":
        raise _invalid("conclusion", "can be set to stale by GitHub alone")
    if conclusion is not None and conclusion not in CONCLUSIONS:
        raise _invalid("conclusion", f"{conclusion!r} is not one of {CONCLUSIONS}")
    _refuse_bad_output(fields.get("output"), title_required=title_required)
    _refuse_bad_actions(fields.get("actions") or [])


def _refuse_bad_output(output: JSON | None, *, title_required: bool) -> None:
    if output is None:
        return
    for field in ("title", "summary") if title_required else ("summary",):
        if not isinstance(output.get(field), str) or not output[field]:
            raise _invalid(f"output.{field}", "wasn’t supplied")
    for field in ("summary", "text"):
        size = len((output.get(field) or "").encode())
        if size > OUTPUT_BYTES:
            raise _invalid(f"output.{field}", f"may hold {OUTPUT_BYTES} bytes; {size} were supplied")
    annotations = output.get("annotations") or []
    if len(annotations) > MOST_ANNOTATIONS:
        raise _invalid("output.annotations", f"may hold {MOST_ANNOTATIONS} items; {len(annotations)} were supplied")
    for annotation in annotations:
        for field in ("path", "start_line", "end_line", "annotation_level", "message"):
            if field not in annotation:
                raise _invalid(f"output.annotations.{field}", "wasn’t supplied")


def _refuse_bad_actions(actions: list[JSON]) -> None:
    if len(actions) > MOST_ACTIONS:
        raise _invalid("actions", f"may hold {MOST_ACTIONS} items; {len(actions)} were supplied")
    for action in actions:
        for field, limit in ACTION_LIMITS.items():
            value = action.get(field)
            if not isinstance(value, str) or not value or len(value) > limit:
                raise _invalid(f"actions.{field}", f"must be 1 to {limit} characters long, got {value!r}")
