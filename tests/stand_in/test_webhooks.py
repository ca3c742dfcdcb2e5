"""Webhooks: signed, sent once, listed, and redelivered only when asked."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from typing import Any, cast

from githubkit.webhooks import parse_obj

from tests.fakes.github.fixtures import Acme
from tests.stand_in.conftest import Receiver, app_client_for


def listen(acme: Acme, receiver: Receiver) -> None:
    acme.github.send_webhooks_to(receiver.url)


def test_a_webhook_is_signed_and_named(acme: Acme, receiver: Receiver) -> None:
    listen(acme, receiver)
    acme.open_change()
    acme.world.wait_until_delivered()
    (letter,) = receiver.named("pull_request", "opened")
    expected = hmac.new(acme.github.webhook_secret.encode(), letter.body, hashlib.sha256).hexdigest()
    assert f"sha256={expected}" == letter.headers["X-Hub-Signature-256"]
    assert 36 == len(letter.guid)
    assert "application/json" == letter.headers["Content-Type"]
    payload = letter.payload
    assert ("dave", "acme/shop", acme.installation.id, "acme", 1) == (
        payload["sender"]["login"],
        payload["repository"]["full_name"],
        payload["installation"]["id"],
        payload["organization"]["login"],
        payload["pull_request"]["number"],
    )


def test_each_thing_that_happens_has_its_webhook(acme: Acme, receiver: Receiver) -> None:
    listen(acme, receiver)
    world = acme.world
    pull = acme.open_change()
    world.push("acme/shop", "add-note", {"b.sql": "x"}, author="dave")
    world.add_label(pull, "migration:for:review", by="dave")
    world.remove_label(pull, "migration:for:review", by="dave")
    review = world.review(pull, "olive")
    world.edit_review(review, "Better words", by="olive")
    world.dismiss_review(review, by="olga")
    world.request_reviews(pull, teams=["databases"], by="dave")
    comment = world.comment(pull, "dana", "one")
    world.edit_comment(comment, "two", by="dana")
    world.delete_comment(comment, by="dana")
    run = world.create_check_run(
        acme.app,
        "acme/shop",
        {
            "name": "SchemaBot",
            "head_sha": pull.head_sha,
            "conclusion": "failure",
            "actions": [{"label": "Retry", "description": "d", "identifier": "retry"}],
        },
    )
    world.click_check_action(run, "retry", by="dave")
    world.rerequest(run, by="dave")
    world.set_draft(pull, True, by="dave")
    world.set_draft(pull, False, by="dave")
    world.edit_pull_request(pull, by="dave", title="Other")
    world.close_pull_request(pull, by="dave")
    world.reopen_pull_request(pull, by="dave")
    world.add_member("acme/databases", "dora")
    world.wait_until_delivered()
    expected = {
        ("push", None): 2,
        ("pull_request", "opened"): 1,
        ("pull_request", "synchronize"): 1,
        ("pull_request", "labeled"): 1,
        ("pull_request", "unlabeled"): 1,
        ("pull_request", "review_requested"): 1,
        ("pull_request", "converted_to_draft"): 1,
        ("pull_request", "ready_for_review"): 1,
        ("pull_request", "edited"): 1,
        ("pull_request", "closed"): 1,
        ("pull_request", "reopened"): 1,
        ("pull_request_review", "submitted"): 1,
        ("pull_request_review", "edited"): 1,
        ("pull_request_review", "dismissed"): 1,
        ("issue_comment", "created"): 1,
        ("issue_comment", "edited"): 1,
        ("issue_comment", "deleted"): 1,
        ("check_run", "created"): 1,
        ("check_run", "completed"): 1,
        ("check_run", "requested_action"): 1,
        ("check_run", "rerequested"): 1,
        ("membership", "added"): 1,
    }
    assert expected == Counter((letter.event, letter.payload.get("action")) for letter in receiver.letters)
    assert "approved" == receiver.named("pull_request_review", "submitted")[0].payload["review"]["state"]
    assert "retry" == receiver.named("check_run", "requested_action")[0].payload["requested_action"]["identifier"]
    assert "migration:for:review" == receiver.named("pull_request", "labeled")[0].payload["label"]["name"]
    assert "one" == receiver.named("issue_comment", "edited")[0].payload["changes"]["body"]["from"]


def test_what_the_app_does_itself_is_sent_by_its_bot(acme: Acme, receiver: Receiver) -> None:
    listen(acme, receiver)
    pull = acme.open_change()
    acme.world.add_label(pull, "migration:skeema:diff", by="skeebot[bot]")
    acme.world.wait_until_delivered()
    sender = receiver.named("pull_request", "labeled")[0].payload["sender"]
    assert ("skeebot[bot]", "Bot") == (sender["login"], sender["type"])


def test_buttons_and_reruns_go_to_the_owning_app_alone(acme: Acme, receiver: Receiver) -> None:
    other = acme.world.add_app("other", webhook_url=receiver.url)
    acme.world.install(other, "acme")
    run = acme.world.create_check_run(
        acme.app, "acme/shop", {"name": "SchemaBot", "head_sha": acme.open_change().head_sha, "conclusion": "failure"}
    )
    acme.world.rerequest(run, by="dave")
    acme.world.wait_until_delivered()
    assert 1 == len(receiver.named("check_run", "completed"))
    assert [] == receiver.named("check_run", "rerequested")


async def test_a_failed_delivery_is_listed_and_sent_again_only_when_asked(acme: Acme, receiver: Receiver) -> None:
    listen(acme, receiver)
    receiver.status = 503
    pull = acme.open_change()
    acme.world.wait_until_delivered()
    receiver.status = 202
    acme.world.comment(pull, "dana", "fine")
    acme.world.wait_until_delivered()
    async with app_client_for(acme) as app:
        listed = (await app.rest.apps.async_list_webhook_deliveries()).parsed_data
        failed = [item for item in listed if item.status_code == 503]
        assert {"push", "pull_request"} == {item.event for item in failed}
        assert ("issue_comment", "OK") == (listed[0].event, listed[0].status)
        lost = next(item for item in failed if item.event == "pull_request")
        await app.rest.apps.async_redeliver_webhook_delivery(lost.id)
        acme.world.wait_until_delivered()
        assert (await app.rest.apps.async_list_webhook_deliveries()).parsed_data[0].redelivery
    guids = [letter.guid for letter in receiver.named("pull_request", "opened")]
    assert [lost.guid, lost.guid] == guids


async def test_deliveries_are_paged_by_cursor(acme: Acme, receiver: Receiver) -> None:
    listen(acme, receiver)
    pull = acme.open_change()
    for number in range(5):
        acme.world.comment(pull, "dana", str(number))
    acme.world.wait_until_delivered()
    async with app_client_for(acme) as app:
        answer = await app.rest.apps.async_list_webhook_deliveries(per_page=4)
        cursor = answer.raw_response.links["next"]["url"].rpartition("cursor=")[2].partition("&")[0]
        rest = (await app.rest.apps.async_list_webhook_deliveries(per_page=4, cursor=cursor)).parsed_data
    ids = [item.id for item in (*answer.parsed_data, *rest)]
    assert sorted(set(ids), reverse=True) == ids
    assert 7 == len(ids)


def test_nobody_listening_is_a_failed_delivery(acme: Acme) -> None:
    acme.github.send_webhooks_to("http://127.0.0.1:9/")
    acme.open_change()
    acme.world.wait_until_delivered()
    assert {502} == {delivery.status_code for delivery in acme.world.outbox.deliveries}


def test_a_suspended_installation_hears_nothing(acme: Acme, receiver: Receiver) -> None:
    listen(acme, receiver)
    acme.world.suspend(acme.installation)
    acme.open_change()
    acme.world.wait_until_delivered()
    assert ["installation"] == [letter.event for letter in receiver.letters]


def test_installing_is_told_with_the_repositories(acme: Acme, receiver: Receiver) -> None:
    listen(acme, receiver)
    acme.world.add_org("other", owners=["olga"])
    acme.world.create_repository("other", "till")
    installation = acme.github.install("other", repositories=["other/till"])
    acme.world.create_repository("other", "safe")
    acme.world.change_installation(installation, add=["other/safe"])
    acme.world.wait_until_delivered()
    created, changed = receiver.named("installation", "created")[0], receiver.named("installation_repositories", "added")[0]
    assert ["other/till"] == [repository["full_name"] for repository in created.payload["repositories"]]
    assert ["other/safe"] == [repository["full_name"] for repository in changed.payload["repositories_added"]]
    assert "olga" == created.payload["sender"]["login"]


def test_every_payload_is_what_githubkit_expects(acme: Acme) -> None:
    """githubkit is stricter than GitHub: it refuses a third of GitHub's own examples. Ours are whole."""
    acme.github.send_webhooks_to("http://127.0.0.1:9/")
    world = acme.world
    pull = acme.open_change()
    world.push("acme/shop", "add-note", {"b.sql": "x"}, author="dave")
    world.add_label(pull, "one", by="dave")
    world.remove_label(pull, "one", by="dave")
    review = world.review(pull, "olive")
    world.edit_review(review, "Better", by="olive")
    world.dismiss_review(review, by="olga")
    world.request_reviews(pull, users=["dana"], teams=["databases"], by="dave")
    comment = world.comment(pull, "dana", "one")
    world.edit_comment(comment, "two", by="dana")
    world.delete_comment(comment, by="dana")
    button = {"label": "Retry", "description": "Again", "identifier": "retry"}
    facts = {"name": "SchemaBot", "head_sha": pull.head_sha, "conclusion": "failure", "actions": [button]}
    run = world.create_check_run(acme.app, "acme/shop", facts)
    world.click_check_action(run, "retry", by="dave")
    world.rerequest(run, by="dave")
    world.set_draft(pull, True, by="dave")
    world.set_draft(pull, False, by="dave")
    world.edit_pull_request(pull, by="dave", title="Other")
    world.close_pull_request(pull, by="dave")
    world.reopen_pull_request(pull, by="dave")
    world.remove_member("acme/databases", "dirk")
    world.add_team("acme", "newcomers")
    world.destroy_merge_group("acme/shop", world.queue_for_merge(pull, by="dave"), by="dave", reason="merged")
    world.create_repository("olga", "till")
    installation = acme.github.install("olga", repositories=["olga/till"])
    world.create_repository("olga", "safe")
    world.change_installation(installation, add=["olga/safe"])
    world.suspend(installation)
    world.uninstall(installation)
    deliveries = acme.world.outbox.deliveries
    for delivery in deliveries:
        parse_obj(cast("Any", delivery.event), json.loads(delivery.body))
    assert 29 == len({(delivery.event, delivery.action) for delivery in deliveries})


# --- chaos ---


def test_chaos_duplicates_under_the_same_guid(acme: Acme, receiver: Receiver) -> None:
    listen(acme, receiver)
    acme.world.chaos.deliveries(duplicate=1.0)
    acme.open_change()
    acme.world.wait_until_delivered()
    assert [2] == list(Counter(x.guid for x in receiver.named("pull_request")).values())


def test_chaos_drops_where_it_can_be_found_and_loses_where_it_cannot(acme: Acme, receiver: Receiver) -> None:
    listen(acme, receiver)
    acme.world.chaos.deliveries(drop=1.0)
    pull = acme.open_change()
    assert {502} == {delivery.status_code for delivery in acme.world.outbox.deliveries}
    count = len(acme.world.outbox.deliveries)
    acme.world.chaos.deliveries(lose=1.0)
    acme.world.comment(pull, "dana", "gone")
    acme.world.wait_until_delivered()
    assert count == len(acme.world.outbox.deliveries)
    assert [] == receiver.letters


def test_chaos_reorders(acme: Acme, receiver: Receiver) -> None:
    listen(acme, receiver)
    acme.world.chaos.seed(3)
    acme.world.chaos.deliveries(reorder=0.5)
    pull = acme.open_change()
    for number in range(12):
        acme.world.comment(pull, "dana", f"{number:02}")
    acme.world.wait_until_delivered()
    bodies = [letter.payload["comment"]["body"] for letter in receiver.named("issue_comment")]
    assert sorted(bodies) != bodies
    assert [f"{number:02}" for number in range(12)] == sorted(bodies)
