"""skeema as a program: what would turn one scratch schema into the definitions of a folder that we write ourselves.

skeema reads option files of the machine, of the user and of parent folders, and they may run commands. So it gets a home of its own
with nothing in it, an environment of its own, a folder whose parents it does not climb, and every option that matters on its command
line, where it wins over any file. The password travels in the environment. Its answers are taken as proposals: activities/skeema/change.py
proves each one.
"""

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from activities.errors import NeedsHuman
from activities.mysql.connect import Address
from activities.settings import Account
from activities.skeema.options import SchemaOptions, skeema_file
from workflows.rules.plan import ChangeKind, Refusal

_OPTIONS: Final = (
    "--skip-my-cnf",
    "--allow-unsafe",  # it shall print what loses data; activities/mysql/judge.py judges
    "--skip-lint",
    "--skip-verify",  # change.py proves every statement itself
    "--exact-match",  # else changed names of foreign keys and CHECKs and the order of indexes are silent
    "--partitioning=modify",  # else adding and removing partitioning is silent
    "--skip-lax-column-order",
    "--skip-lax-comments",
    "--workspace=temp-schema",
    "--temp-schema-mode=light",
    # The zone and the verbosity of our own sessions: skeema must be shown what they were shown.
    "--connect-options=sql_mode='NO_ENGINE_SUBSTITUTION',lock_wait_timeout=10,time_zone='+00:00',show_create_table_verbosity=0",
    "--ignore-table=",
    "--ignore-schema=",
    "--host-wrapper=",
    "--alter-algorithm=",
    "--alter-lock=",
    "--safe-below-size=0",
    "--alter-wrapper-min-size=0",
)
_WRAPPER: Final = "skeebot {TYPE} {CLASS} {NAME} {DDL}"
"""Printed, never run: the whole statement as one shell word, so that nothing has to be split at semicolons."""

_KINDS: Final = {"CREATE": ChangeKind.CREATE_TABLE, "ALTER": ChangeKind.ALTER_TABLE, "DROP": ChangeKind.DROP_TABLE}
_HARMLESS: Final = re.compile(
    r"Option --my-cnf is deprecated|Database server \S+ flavor .* is (deprecated in|newer than) this release of Skeema"
)
"""What skeema thinks of a server's version is no reason to stop: MySQL proves every statement anyway."""
_LOG_LINE: Final = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[(\w+)\]\s+(.*)$")


@dataclass(frozen=True)
class Proposal:
    """One statement that skeema would run on one table, in its order; several may be about one table."""

    kind: ChangeKind
    table: str
    statement: str


class Skeema:
    """The program and the server it works on. seconds: how long one diff may take. tls: never without it.

    Errors of its methods: NeedsHuman when there is no such program.
    """

    def __init__(self, program: str, address: Address, account: Account, *, seconds: float = 120.0, tls: bool = False) -> None:
        self._program = program
        self._tls = ("--ssl-mode=required",) if tls else ()
        self._address = address
        self._account = account
        self._seconds = seconds

    async def diff(
        self, live: str, desired: Mapping[str, str], *, scratch: str, charset: str, collation: str
    ) -> tuple[Proposal, ...] | Refusal:
        """live: the scratch schema as it is. desired: by table, the CREATE TABLE it shall have, as SHOW CREATE TABLE prints it.
        scratch: name of a schema that skeema makes and drops. charset, collation: defaults of both schemas, so that they do not differ.

        Whatever skeema could not read or do is a Refusal: it would plan a table it cannot read as DROP (FACTS).
        """
        with _folder(desired) as folder:
            (folder / ".skeema").write_text(self._option_file(live, charset, collation))
            return await self._run(folder, scratch)

    def _option_file(self, schema: str, charset: str, collation: str) -> str:
        host = "127.0.0.1" if self._address.host == "localhost" else self._address.host  # localhost would mean a socket
        lines = (
            f"host={host}",
            f"port={self._address.port}",
            f"user={self._account.user}",
        )
        allowed = SchemaOptions(default_character_set=charset, default_collation=collation)
        return "\n".join(lines) + "\n" + skeema_file(allowed, schema=schema)

    async def _run(self, folder: Path, scratch: str) -> tuple[Proposal, ...] | Refusal:
        program = shutil.which(self._program)  # by our own PATH: the child gets a bare one
        if program is None:
            raise NeedsHuman(f"There is no program {self._program}: install skeema 1.14 and name it in the settings (diff.skeema).")
        wrappers = (f"--ddl-wrapper={_WRAPPER}", f"--alter-wrapper={_WRAPPER}")
        process = await asyncio.create_subprocess_exec(
            program,
            "diff",
            *_OPTIONS,
            *self._tls,
            *wrappers,
            f"--temp-schema={scratch}",
            cwd=folder,
            env={"HOME": str(folder.parent), "MYSQL_PWD": self._account.secret(), "PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), self._seconds)
        except TimeoutError:
            return Refusal(
                code="diff-too-slow",
                what=f"skeema did not finish within {self._seconds:.0f} seconds.",
                next="Split the change into smaller pull requests, or ask for a higher limit (diff.ceilings.seconds).",
            )
        finally:
            await _end(process)
        return read_answer(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"), hide=(str(folder), scratch))


def read_answer(code: int | None, out: str, err: str, *, hide: tuple[str, ...] = ()) -> tuple[Proposal, ...] | Refusal:
    """What skeema's output means. hide: names that mean nothing to people and are cut from reasons."""
    complaints = [text for level, text in _log(err) if level != "INFO" and not _HARMLESS.match(text)]
    if complaints or code not in {0, 1}:
        said = "\n".join(complaints) or f"It ended with exit code {code}."
        for name in hide:
            said = said.replace(name, "…")
        return Refusal(
            code="skeema-refused",
            what=f"skeema could not work out this change: {said}",
            next="Correct the files it names; where the change is beyond skeema, write the ALTER by hand and have it run with"
            " starter.py run-migration, then push the files.",
        )
    try:
        return tuple(_proposals(out))
    except ValueError as wrong:
        return Refusal(
            code="skeema-unreadable",
            what=f"skeema's answer could not be read: {wrong}",
            next="Report this with the two definitions; until then write the ALTER by hand (starter.py run-migration).",
        )


def _log(err: str) -> Iterator[tuple[str, str]]:
    """Level and text of each line; a line of another form counts as an error."""
    for line in err.splitlines():
        if not line.strip():
            continue
        match = _LOG_LINE.match(line)
        yield (match[1], match[2]) if match else ("ERROR", line)


def _proposals(out: str) -> Iterator[Proposal]:
    lines = out.splitlines(keepends=True)
    while lines and (lines[0].startswith(("-- instance: ", "USE `"))):
        lines.pop(0)
    words = shlex.split("".join(lines))
    if len(words) % 6:
        raise ValueError(f"{len(words)} words are not a whole number of statements")
    for at in range(0, len(words), 6):
        bang, us, kind, what, table, statement = words[at : at + 6]
        if (bang, us, what) != ("!", "skeebot", "TABLE") or kind not in _KINDS:
            raise ValueError(f"it would {kind} {what} {table}, which is not about a table")
        yield Proposal(_KINDS[kind], table, statement)


@contextlib.contextmanager
def _folder(desired: Mapping[str, str]) -> Iterator[Path]:
    """A folder with one file per table, in a home that holds nothing else."""
    with tempfile.TemporaryDirectory(prefix="skeebot-diff-") as home:
        folder = Path(home) / "schema"
        folder.mkdir(mode=0o700)
        for number, create in enumerate(desired.values()):
            (folder / f"{number:05}.sql").write_text(f"{create};\n")
        yield folder


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
