"""One shard as a plan sees it: the pull request's tables and those that foreign keys tie to them, nothing else."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from activities.errors import NeedsHuman
from activities.mysql.connect import Connection
from activities.mysql.discovery import Shard
from activities.mysql.introspect import LiveTable, list_tables, read_table, without_auto_increment
from activities.mysql.workspace import Reading, read_reading


@dataclass(frozen=True)
class LiveShard:
    """tables: by the name the plan knows; only those that exist. related: SHOW CREATE of tables that foreign keys tie to them.

    charset, collation: the schema's defaults, which definitions without their own get.
    """

    shard: Shard
    reading: Reading
    charset: str
    collation: str
    tables: Mapping[str, LiveTable]
    related: Mapping[str, str]

    def definitions(self, *, exactly: Collection[str] = ()) -> dict[str, str]:
        """SHOW CREATE of the tables; AUTO_INCREMENT, which every INSERT moves, only of those in exactly."""
        return {
            name: table.show_create if name in exactly else without_auto_increment(table.show_create) for name, table in self.tables.items()
        }

    def likeness(self, *, exactly: Collection[str] = ()) -> str:
        """Equal where one answer of the workspace serves both shards."""
        facts = [
            self.reading.version,
            sorted(self.reading.variables.items()),
            self.charset,
            self.collation,
            sorted(self.definitions(exactly=exactly).items()),
            sorted(self.related.items()),
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


async def read_shard(connection: Connection, shard: Shard, schema: str, tables: Sequence[str], references: Iterable[str]) -> LiveShard:
    """tables: those that the plan is about. references: those that the files' foreign keys name.

    Errors: NeedsHuman when the schema is not there; pymysql's.
    """
    reading = await read_reading(connection)
    defaults = await connection.row(
        "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = %s", (schema,)
    )
    if defaults is None:
        raise NeedsHuman(
            f"There is no schema {schema} on {connection.address} (shard {shard.name}), or skeebot's reading account may not see it."
            " Create it and grant the account its rights, or correct the mapping (repo-map); then re-run the check."
        )
    views = await connection.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type <> 'BASE TABLE'", (schema,)
    )
    taken = {_folded(str(view), reading) for (view,) in views} & {_folded(one, reading) for one in tables}
    if taken:
        raise NeedsHuman(
            f"{schema} on shard {shard.name} has a view where the files have a table: {', '.join(sorted(taken))}."
            " Drop the view by hand, or give the table another name."
        )
    named = {_folded(one, reading): one for one in await list_tables(connection, schema)}
    found = {
        name: table
        for name in tables
        if (spelled := named.get(_folded(name, reading))) and (table := await read_table(connection, schema, spelled)) is not None
    }
    ties = {parent for table in found.values() for key in table.outbound for where, parent in (key.parent,) if where == schema}
    ties |= {child for table in found.values() for key in table.inbound for where, child in (key.child,) if where == schema}
    ties |= {spelled for name in references if (spelled := named.get(_folded(name, reading)))}
    mine = {_folded(name, reading) for name in found}
    related: dict[str, str] = {}
    for name in sorted(ties):
        if _folded(name, reading) not in mine and (table := await read_table(connection, schema, name)) is not None:
            related[name] = without_auto_increment(table.show_create)
    return LiveShard(shard, reading, str(defaults[0]), str(defaults[1]), found, related)


def _folded(name: str, reading: Reading) -> str:
    return name.casefold() if reading.folds_names else name
