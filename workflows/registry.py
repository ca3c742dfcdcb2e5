"""Enrolled repositories and their mappings. skeebot needs no database of its own."""

from dataclasses import dataclass, field, replace

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.rules.commands import AddRepository, MapRepository, RegistryChange, SetAutorun, UnmapRepository
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
        known = self._known(change)
        if not isinstance(change, AddRepository) and known is None:
            raise ApplicationError(
                f"{change.repository} is not enrolled. Enrol it first: add-repo {change.repository} --owner-team … --databases-team …",
                type="NotEnrolled",
            )
        if known is not None and (wrong := _objection(known, change)):
            raise ApplicationError(wrong, type="NotPossible")

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
                options=PlanOptions(allow_instant=change.allow_instant, quarantine_days=change.quarantine_days),
            )
        case MapRepository() if known is not None:
            new = _directory(change)
            others = tuple(one for one in known.directories if not _is_at(one, new.path, new.environment))
            return replace(known, directories=tuple(sorted((*others, new), key=lambda one: (one.environment, one.path))))
        case UnmapRepository() if known is not None:
            left = tuple(one for one in known.directories if not _is_at(one, _clean(change.path), change.environment))
            return replace(known, directories=left)
        case SetAutorun() if known is not None:
            return replace(known, autorun=change.on)
        case _:
            raise ApplicationError(f"{change.repository} is not enrolled.", type="NotEnrolled")


def _objection(known: Enrolment, change: RegistryChange) -> str:
    """Why a mapping would stand for nothing, or for something else than was meant; "" where it is good."""
    match change:
        case MapRepository() if change.environment not in known.environments:
            return (
                f"{change.environment} is no environment of {known.repository}, which has {' and '.join(known.environments)}."
                " Map the directory in one of those, or give add-repo the new list of --environments first."
            )
        case MapRepository():
            # One row has one plan, one approval and one check: a second directory's plan would take the first one's place.
            new = _directory(change)
            other = next((one for one in known.directories if one.row == new.row and one.path != new.path), None)
            if other is None:
                return ""
            return (
                f"{other.path} is mapped to the database {new.database} in {new.environment} already, and a database has one directory."
                f" Give {new.path} another --database, or take the other mapping back first:"
                f" repo-unmap {known.repository} {other.path} --environment {other.environment}"
            )
        case UnmapRepository():
            path = _clean(change.path)
            if any(_is_at(one, path, change.environment) for one in known.directories):
                return ""
            mapped = ", ".join(f"{one.path} in {one.environment}" for one in known.directories) or "nothing yet"
            return f"{path} is not mapped in {change.environment}. Name a mapping of {known.repository}: {mapped}."
        case _:
            return ""


def _directory(change: MapRepository) -> Directory:
    return Directory(
        path=_clean(change.path),
        database=change.database,
        environment=change.environment,
        cluster=change.cluster,
        schema=change.schema,
    )


def _is_at(directory: Directory, path: str, environment: str) -> bool:
    return (directory.path, directory.environment) == (path, environment)


def _clean(path: str) -> str:
    return path.strip("/")
