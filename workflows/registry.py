"""Enrolled repositories and their mappings. skeebot needs no database of its own."""

from dataclasses import dataclass, field, replace

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.rules.commands import AddRepository, MapRepository, RegistryChange, SetAutorun
from workflows.rules.plan import Directory, Enrolment, PlanOptions


@dataclass
class RegistryState:
    enrolments: dict[str, Enrolment] = field(default_factory=dict)


@workflow.defn
class Registry:
    @workflow.init
    def __init__(self, state: RegistryState) -> None:
        self.state = state

    @workflow.run
    async def run(self, _state: RegistryState) -> None:
        await workflow.wait_condition(lambda: workflow.info().is_continue_as_new_suggested())
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self.state)

    @workflow.update
    def change(self, change: RegistryChange) -> Enrolment:
        """Returns the repository's enrolment as it is now. Doing it twice equals once."""
        enrolment = _changed(self._known(change), change)
        self.state.enrolments[change.repository.casefold()] = enrolment
        return enrolment

    @change.validator
    def _change_is_possible(self, change: RegistryChange) -> None:
        if change.repository.count("/") != 1:
            raise ApplicationError(f"{change.repository!r} is not a repository: write owner/name.", type="NotARepository")
        if not isinstance(change, AddRepository) and self._known(change) is None:
            raise ApplicationError(
                f"{change.repository} is not enrolled. Enrol it first: add-repo {change.repository} --owner-team … --databases-team …",
                type="NotEnrolled",
            )

    @workflow.query
    def enrolment(self, repository: str) -> Enrolment | None:
        return self.state.enrolments.get(repository.casefold())

    @workflow.query
    def enrolments(self) -> list[Enrolment]:
        return [self.state.enrolments[name] for name in sorted(self.state.enrolments)]

    def _known(self, change: RegistryChange) -> Enrolment | None:
        return self.state.enrolments.get(change.repository.casefold())


def _changed(known: Enrolment | None, change: RegistryChange) -> Enrolment:
    match change:
        case AddRepository():
            return Enrolment(
                repository=change.repository,
                owner_team=change.owner_team,
                databases_team=change.databases_team,
                environments=change.environments,
                base_branches=change.base_branches,
                autorun=change.autorun,
                directories=known.directories if known else (),
                options=PlanOptions(allow_instant=change.allow_instant),
            )
        case MapRepository() if known is not None:
            new = Directory(
                path=change.path.strip("/"),
                database=change.database,
                environment=change.environment,
                cluster=change.cluster,
                schema=change.schema,
            )
            others = tuple(one for one in known.directories if (one.path, one.environment) != (new.path, new.environment))
            return replace(known, directories=tuple(sorted((*others, new), key=lambda one: (one.environment, one.path))))
        case SetAutorun() if known is not None:
            return replace(known, autorun=change.on)
        case _:
            raise ApplicationError(f"{change.repository} is not enrolled.", type="NotEnrolled")
