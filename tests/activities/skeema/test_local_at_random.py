"""Random pairs of tables: what is printed turns the one into the other, or one of a few known refusals says why not."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from activities.skeema.local import LocalDiff, LocalWorkspace, run_local_diff
from embedded.mysql import MySQLServer
from embedded.tools import Tools
from tests.activities.skeema.random_tables import tables
from tests.activities.skeema.real import definitions_after, fresh_definitions, takes
from tests.activities.skeema.test_local import written
from tests.activities.skeema.workspace import workspace_of

_AT_ONCE = 6
_KNOWN = {"not-possible", "not-proven", "skeema-refused"}
"""A computed column becomes ordinary; KEY_BLOCK_SIZE stays on keys when a table's compression goes; what skeema has no words for."""


@settings(max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.tuples(*(st.tuples(tables(f"t{number}"), tables(f"t{number}")) for number in range(_AT_ONCE))))
async def test_any_pair_is_carried_out_or_refused(workspace_server: MySQLServer, tools: Tools, pairs: tuple[tuple[str, str], ...]) -> None:
    possible = {f"t{number}": pair for number, pair in enumerate(pairs) if all(takes(workspace_server, create) for create in pair)}
    opened, account = workspace_of(workspace_server)
    workspace = LocalWorkspace(opened.address, account, str(tools.skeema))
    if not await _holds(workspace_server, workspace, possible):
        found = Counter([await _holds(workspace_server, workspace, {table: pair}) for table, pair in possible.items()])
        event(f"{found[True]} carried out, {found[False]} refused")


async def _holds(server: MySQLServer, workspace: LocalWorkspace, pairs: Mapping[str, tuple[str, str]]) -> bool:
    """False: it was refused, for a known reason."""
    base = {table: pair[0] for table, pair in pairs.items()}
    head = {table: pair[1] for table, pair in pairs.items()}
    found = await _compared(workspace, base, head)
    if found.refusal is not None:
        assert found.refusal.code in _KNOWN, (found.refusal, base, head)
        assert found.refusal.what
        assert found.refusal.next
        return False
    assert fresh_definitions(server, head) == definitions_after(server, base, found.statements), found.statements
    return True


async def _compared(workspace: LocalWorkspace, base: Mapping[str, str], head: Mapping[str, str]) -> LocalDiff:
    with tempfile.TemporaryDirectory() as folder:
        return await run_local_diff(written(Path(folder) / "base", base), written(Path(folder) / "head", head), workspace)
