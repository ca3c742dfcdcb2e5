"""Schemas on a real server, made and changed by the administrator: the judge of what the product prints. Nothing of the product in it."""

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pymysql

from embedded.mysql import MySQLServer

_numbers = itertools.count(1)


def fresh_definitions(server: MySQLServer, tables: Mapping[str, str]) -> dict[str, str]:
    """SHOW CREATE of these CREATE TABLEs, by table."""
    return definitions_after(server, tables, ())


def definitions_after(server: MySQLServer, tables: Mapping[str, str], statements: Sequence[str]) -> dict[str, str]:
    """SHOW CREATE, by table, after these statements. Only CREATE TABLE runs without foreign key checks: parents may come later."""
    with _schema(server) as schema, server.admin(database=schema) as connection, connection.cursor() as cursor:
        for statement in [*tables.values(), *statements]:
            cursor.execute(f"SET foreign_key_checks = {0 if statement.lstrip().upper().startswith('CREATE') else 1}")
            cursor.execute(statement)
        cursor.execute("SHOW TABLES")
        names = [next(iter(row.values())) for row in cursor.fetchall()]
        found = {}
        for name in names:
            cursor.execute("SHOW CREATE TABLE `{}`".format(name.replace("`", "``")))
            found[name] = without_counters(cursor.fetchall()[0]["Create Table"])
        return found


def without_counters(create: str) -> str:
    """Without the table option AUTO_INCREMENT=N: it only ever goes up, so a lower one is no change."""
    return re.sub(r"^(\) ENGINE=\w+) AUTO_INCREMENT=\d+", r"\1", create, flags=re.MULTILINE)


@contextmanager
def _schema(server: MySQLServer) -> Iterator[str]:
    name = f"real_{os.getpid()}_{next(_numbers)}"
    server.run(f"CREATE DATABASE {name}")
    try:
        yield name
    finally:
        server.run(f"DROP DATABASE {name}")


def takes(server: MySQLServer, create: str) -> bool:
    """Whether MySQL accepts this definition at all."""
    try:
        fresh_definitions(server, {"": create})
    except pymysql.MySQLError:
        return False
    return True
