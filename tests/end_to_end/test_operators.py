"""What an operator sees and says at a terminal: skeebot's own command line, and Temporal's."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.end_to_end.company import ORDERS, Change, Company
from tests.end_to_end.copying import altered_once, copying


def name_of(change: Change) -> str:
    return f"acme/{change.shop.repository.name}#{change.pull.number}"


def temporal(company: Company, *words: str) -> Any:
    """The answer of the `temporal` command line as JSON."""
    stack = company.product.stack
    program = [str(stack.tools.temporal), "workflow", *words, "--address", stack.temporal.address, "--output", "json"]
    return json.loads(subprocess.run(program, capture_output=True, check=True, text=True, timeout=60).stdout)


def test_an_operator_sees_what_runs_and_waits_holds_it_and_lets_it_go(company: Company) -> None:
    starter = company.product.starter
    with ThreadPoolExecutor(1) as elsewhere, copying(company) as scene:
        shop, name = scene.shop, name_of(scene.change)
        scene.server.run("CREATE TABLE items (id int NOT NULL PRIMARY KEY)", schema=shop.schema)
        add = ("--cluster", "staging", "--schema", shop.schema, "--statement", "ALTER TABLE items ADD COLUMN price int")
        by_hand = elsewhere.submit(starter, "run-migration", *add)
        company.until(lambda: waiting(company, shop.schema) == ["items"], "the statement by hand to wait for its turn")

        status = json.loads(starter("status", "--json").out)
        assert {"pull_request": name, "state": "running", "workflow": f"pull-request/{name.replace('#', '/')}", "trouble": ""} in status[
            "pull_requests"
        ]
        assert [(shop.schema, "orders")] == [(one["schema"], one["table"]) for queue in status["queues"] for one in queue["running"]]
        for_people = starter("status").out
        assert name in for_people
        assert f"{shop.schema}.items" in for_people

        assert 0 == starter("command", "--as", "dana", name, "hold-cut-over").code
        scene.hurry()
        scene.change.until(lambda: scene.change.conclusion() == "action_required", "the cut-over to be held")
        assert 2 == starter("command", "--as", "mallory", name, "cut-over").code
        assert "note" not in shop.columns(scene.server, "orders")
        assert 0 == starter("command", "--as", "dana", name, "cut-over").code
        altered_once(scene)
        said = by_hand.result(timeout=120)
    assert 0 == said.code, said.err
    assert "complete" in said.out
    assert f"staging/main/{shop.schema}/items" in said.err
    assert ["id", "price"] == shop.columns(scene.server, "items")


def waiting(company: Company, schema: str) -> list[str]:
    status = json.loads(company.product.starter("status", "--json").out)
    return [entry["table"] for queue in status["queues"] for entry in queue["waiting"] if entry["schema"] == schema]


def test_a_statement_by_hand_says_by_its_exit_code_how_it_went(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, environments={"staging": "staging"})
    (server,) = shop.servers
    server.run("INSERT INTO orders (customer) VALUES ('twin'), ('twin')", schema=shop.schema)
    where = ("run-migration", "--cluster", "staging", "--schema", shop.schema, "--statement")

    refused = company.product.starter(*where, "ALTER TABLE orders ADD UNIQUE KEY one_each (customer)")
    assert 2 == refused.code, refused.out
    assert "--allow-unsafe" in refused.err
    assert 2 == company.product.starter(*where, "ALTER TABLE orders ADD COLUMN").code
    assert 2 == company.product.starter(*where, "ALTER TABLE nowhere ADD COLUMN a int").code

    failed = company.product.starter(*where, "ALTER TABLE orders ADD UNIQUE KEY one_each (customer)", "--allow-unsafe")
    assert 1 == failed.code, failed.out + failed.err
    assert ["orders"] == shop.tables(server)

    assert 0 == company.product.starter(*where, "ALTER TABLE orders ADD COLUMN note int").code
    assert ["id", "customer", "note"] == shop.columns(server, "orders")


def test_temporals_own_command_line_finds_a_story_and_tells_it(company: Company) -> None:
    shop = company.shop({"orders": ORDERS}, rows=10, environments={"staging": "staging"})
    change = shop.open("add-note", {"orders/orders.sql": ORDERS.replace("varchar(100)", "varchar(120)")})
    change.until_conclusion("action_required")
    name, workflow = name_of(change), f"pull-request/acme/{shop.repository.name}/{change.pull.number}"
    queries = (
        f"PullRequest = '{name}'",
        f"WorkflowType = 'PullRequest' AND Repository = 'acme/{shop.repository.name}'",
        f"SchemaState = 'awaiting-label' AND PullRequest = '{name}'",
        f"Clusters = 'staging' AND PullRequest = '{name}'",
    )
    for query in queries:
        company.until(lambda query=query: found(company, query) == [workflow], f"the workflow to be found by {query}")  # type: ignore[misc]
    described = temporal(company, "describe", "--workflow-id", workflow)["workflowExecutionInfo"]
    assert "WORKFLOW_EXECUTION_STATUS_RUNNING" == described["status"]
    assert {"SchemaState", "Repository", "PullRequest", "Clusters"} <= set(described["searchAttributes"]["indexedFields"])
    told = json.dumps(temporal(company, "metadata", "--workflow-id", workflow))
    assert f"**{name}**" in told
    assert "awaiting label" in told
    view = json.dumps(temporal(company, "query", "--workflow-id", workflow, "--type", "view"))
    assert "awaiting-label" in view
    assert "MODIFY COLUMN" in view


def found(company: Company, query: str) -> list[str]:
    return [one["execution"]["workflowId"] for one in temporal(company, "list", "--query", query)]
