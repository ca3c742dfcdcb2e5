"""The embedded workspace server as the product sees it."""

from pydantic import SecretStr

from activities.mysql.connect import Address
from activities.mysql.workspace import Workspace
from activities.settings import Account, MySQLSettings
from embedded.mysql import MySQLServer


def workspace_of(server: MySQLServer) -> tuple[Workspace, Account]:
    account = Account(user="skeebot_workspace", password=SecretStr(server.passwords["skeebot_workspace"]))
    settings = MySQLSettings(read=account, direct=account, ghost=account, verify=account, fence=account, workspace=account)
    return Workspace(Address(server.host, server.port), settings), account
