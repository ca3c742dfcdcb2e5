"""A workspace server for the length of one command, for a developer whose machine has no settings of skeebot."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from activities.mysql.connect import Address
from activities.settings import Account
from activities.skeema.local import LocalWorkspace
from embedded import tools
from embedded.mysql import new_workspace, running
from embedded.processes import TemporaryFolder
from embedded.tools import Say


@contextmanager
def borrowed_workspace(say: Say) -> Iterator[LocalWorkspace]:
    """About three seconds once the tools are cached. Errors: ToolMissingError naming what is missing and how to install it."""
    skeema, mysqld = tools.skeema(say), tools.mysqld(say)
    folder = TemporaryFolder("diff")
    try:
        with running(new_workspace(mysqld, folder.path)) as server:
            password = SecretStr(server.passwords["skeebot_workspace"])
            account = Account(user="skeebot_workspace", password=password)
            yield LocalWorkspace(address=Address(server.host, server.port), account=account, skeema=str(skeema))
    finally:
        folder.close()
