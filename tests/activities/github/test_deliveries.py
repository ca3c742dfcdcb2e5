"""What a delivery means. A delivery is only a hint, so whatever is odd about it is ignored, never an error."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.github.deliveries import read_delivery
from workflows.messages import BaseMoved, Ignored, Rerequested, Woke
from workflows.rules.names import HeadSha, Labels, Login, Protocol, PullRequestRef

SHA = HeadSha("a" * 40)
REPOSITORY = {"full_name": "acme/shop", "private": True}
DAVE, BOT = {"login": "dave"}, {"login": "skeebot[bot]", "type": "Bot"}
ONE = PullRequestRef("acme", "shop", 1)

Payload = dict[str, Any]


def read(event: str, payload: Payload, **options: Any) -> Any:
    return read_delivery(event, "guid-1", json.dumps(payload).encode(), **options)


def pull_request(action: str, sender: Payload = DAVE, **more: Any) -> Payload:
    return {
        "action": action,
        "number": 1,
        "pull_request": {"number": 1, "merged": None},
        "repository": REPOSITORY,
        "sender": sender,
        **more,
    }


def issue_comment(action: str, body: str, *, author: Payload = DAVE, sender: Payload = DAVE, on_pull: bool = True) -> Payload:
    issue = {"number": 1, "pull_request": {"url": "https://api.example/1"}} if on_pull else {"number": 1}
    comment = {"id": 5, "body": body, "user": author}
    return {"action": action, "issue": issue, "comment": comment, "repository": REPOSITORY, "sender": sender}


def check_run(action: str, *, slug: str = "skeebot", external_id: str = f"skeebot/1/{SHA}/3", **more: Any) -> Payload:
    run = {"id": 9, "name": "SchemaBot", "head_sha": SHA, "external_id": external_id, "app": {"slug": slug}, "pull_requests": []}
    return {"action": action, "check_run": run, "repository": REPOSITORY, "sender": DAVE, **more}


def check_suite(numbers: list[int], *, head: str = SHA) -> Payload:
    pulls = [{"number": number, "head": {"sha": head}} for number in numbers]
    suite = {"head_sha": SHA, "app": {"slug": "skeebot"}, "pull_requests": pulls}
    return {"action": "rerequested", "check_suite": suite, "repository": REPOSITORY, "sender": DAVE}


def push(ref: str, after: str = SHA, **more: Any) -> Payload:
    return {"ref": ref, "after": after, "before": "0" * 40, "repository": REPOSITORY, "sender": DAVE, **more}


# ── What wakes ──


@pytest.mark.parametrize("action", ["opened", "synchronize", "reopened", "closed", "edited", "ready_for_review", "converted_to_draft"])
def test_a_pull_request_that_changed_is_looked_at(action: str) -> None:
    assert Woke(ref=ONE, reason=f"pull_request.{action}", guid="guid-1") == read("pull_request", pull_request(action))


@pytest.mark.parametrize("action", ["submitted", "dismissed", "edited"])
def test_a_review_wakes(action: str) -> None:
    assert Woke(ref=ONE, reason=f"pull_request_review.{action}", guid="guid-1") == read("pull_request_review", pull_request(action))


@pytest.mark.parametrize("action", ["labeled", "unlabeled"])
@pytest.mark.parametrize("name", ["migration:for:review", "migration:skeefree:queued", "Migration:For:Review"])
def test_a_label_of_the_protocol_wakes(action: str, name: str) -> None:
    assert isinstance(read("pull_request", pull_request(action, label={"name": name})), Woke)


def test_the_label_protocol_is_a_setting() -> None:
    ours = Protocol(labels=Labels(for_review="ready"))
    assert isinstance(read("pull_request", pull_request("labeled", label={"name": "ready"}), protocol=ours), Woke)
    assert isinstance(read("pull_request", pull_request("labeled", label={"name": "migration:for:review"}), protocol=ours), Ignored)


def test_a_comment_with_a_command_wakes() -> None:
    assert isinstance(read("issue_comment", issue_comment("created", "Please:\r\n\r\n.skeefree retry-migration\r\n")), Woke)


@pytest.mark.parametrize("action", ["edited", "deleted"])
def test_somebody_elses_hand_on_our_comment_wakes(action: str) -> None:
    assert isinstance(read("issue_comment", issue_comment(action, "the marker was taken off", author=BOT)), Woke)


def test_re_run_names_the_one_pull_request_and_the_very_run_that_was_pressed() -> None:
    wanted = Rerequested(ref=ONE, head_sha=SHA, actor=Login("dave"), guid="guid-1", check="SchemaBot", generation=3)
    assert wanted == read("check_run", check_run("rerequested"))


def test_a_button_carries_its_identifier() -> None:
    found = read("check_run", check_run("requested_action", requested_action={"identifier": "retry-migration"}))
    assert "retry-migration" == found.identifier


def test_re_run_all_finds_the_pull_request_by_its_head() -> None:
    assert ONE == read("check_suite", check_suite([1])).ref


def test_a_push_to_a_branch_moves_a_base() -> None:
    wanted = BaseMoved(repository="acme/shop", branch="release/1.x", after=SHA, guid="guid-1")
    assert wanted == read("push", push("refs/heads/release/1.x"))


# ── What is ignored ──


@pytest.mark.parametrize(
    ("event", "payload", "reason"),
    [
        ("pull_request", pull_request("assigned"), "pull_request.assigned: changes nothing for us"),
        ("pull_request", pull_request("labeled", label={"name": "bug"}), "not a label of ours"),
        ("pull_request", pull_request("labeled"), "not a label of ours"),
        ("pull_request", pull_request("labeled", sender=BOT, label={"name": "migration:for:review"}), "our own doing"),
        ("issue_comment", issue_comment("edited", "x", author=BOT, sender=BOT), "our own doing"),
        ("issue_comment", issue_comment("created", ".skeefree help", on_pull=False), "on an issue"),
        ("issue_comment", issue_comment("created", "> .skeefree help"), "no command"),
        ("issue_comment", issue_comment("created", "```\n.skeefree help\n```"), "no command"),
        ("issue_comment", issue_comment("created", "see .skeefree help"), "no command"),
        ("issue_comment", issue_comment("edited", "thank you"), "not a comment of ours, and no command in it"),
        ("issue_comment", issue_comment("pinned", ".skeefree help"), "changes nothing"),
        ("check_run", check_run("completed"), "changes nothing"),
        ("check_run", check_run("rerequested", slug="other-app"), "another App's"),
        ("check_run", check_run("rerequested", external_id=""), "not a run that names its pull request"),
        ("check_run", check_run("rerequested", external_id="skeebot/0/aa/1"), "not a run that names its pull request"),
        ("check_suite", check_suite([]), "names no pull request"),
        ("check_suite", check_suite([1], head="b" * 40), "names no pull request"),
        ("push", push("refs/tags/v1"), "not to a branch"),
        ("push", push("refs/heads/main", deleted=True), "the branch is gone"),
        ("push", push("refs/heads/main", after="0" * 40), "the branch is gone"),
        ("installation", {"action": "created"}, "not an event that concerns us"),
        ("ping", {"zen": "Speak like a human."}, "not an event that concerns us"),
        ("", {}, "a nameless event"),
    ],
)
def test_what_changes_nothing_is_ignored_with_its_reason(event: str, payload: Payload, reason: str) -> None:
    found = read(event, payload)
    assert isinstance(found, Ignored)
    assert reason in found.reason


def test_our_own_doings_are_known_by_our_own_login() -> None:
    assert isinstance(read("pull_request", pull_request("opened", sender=BOT), bot_login="other[bot]"), Woke)


@pytest.mark.parametrize("name", ["shop", "acme/../shop", "acme/shop/x", "acme/sh op", "acme/shop\n", "/shop", "acme/"])
def test_a_repository_without_a_proper_name_is_ignored(name: str) -> None:
    assert isinstance(read("pull_request", pull_request("opened") | {"repository": {"full_name": name}}), Ignored)


@pytest.mark.parametrize("number", [0, -1, 2**31, 1.5, "1", True, None, [], 10**40])
def test_a_number_that_is_none_is_ignored(number: object) -> None:
    assert isinstance(read("pull_request", pull_request("opened") | {"pull_request": {"number": number}}), Ignored)


# ── Never raises ──

EVENTS = ["pull_request", "pull_request_review", "issue_comment", "check_run", "check_suite", "push", "ping", "merge_group"]
SAMPLES = [
    ("pull_request", pull_request("labeled", label={"name": "migration:for:review"})),
    ("pull_request_review", pull_request("submitted")),
    ("issue_comment", issue_comment("created", ".skeefree help")),
    ("check_run", check_run("requested_action", requested_action={"identifier": "x"})),
    ("check_suite", check_suite([1, 2])),
    ("push", push("refs/heads/main")),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def is_an_answer(found: object) -> bool:
    return isinstance(found, (Woke, Rerequested, BaseMoved, Ignored))


@given(event=st.sampled_from(EVENTS) | st.text(), guid=st.text(), body=st.binary())
def test_any_bytes_get_an_answer(event: str, guid: str, body: bytes) -> None:
    assert is_an_answer(read_delivery(event, guid, body))


@given(event=st.sampled_from(EVENTS), payload=JSON)
def test_any_json_gets_an_answer(event: str, payload: Any) -> None:
    assert is_an_answer(read_delivery(event, "g", json.dumps(payload).encode()))


@settings(max_examples=300)
@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_a_real_payload_with_anything_inside_it_replaced_or_gone_gets_an_answer(sample: tuple[str, Payload], data: st.DataObject) -> None:
    event, payload = sample[0], copy.deepcopy(sample[1])
    place: Any = payload
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        inner = place[key]
        if isinstance(inner, (dict, list)) and inner and data.draw(st.booleans()):
            place = inner
            continue
        if data.draw(st.booleans()) and isinstance(place, dict):
            del place[key]
        else:
            place[key] = data.draw(JSON)
        break
    assert is_an_answer(read_delivery(event, "g", json.dumps(payload).encode()))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\xff\xfe",
        b'"\\ud800"',
        b'{"number": 1' + b"0" * 10_000 + b"}",
        b'{"repository": {"full_name": "a/\\u0000"}}',
        b"",
    ],
)
@pytest.mark.parametrize("event", EVENTS)
def test_hostile_bytes_get_an_answer(event: str, body: bytes) -> None:
    assert isinstance(read_delivery(event, "g", body), Ignored)


def test_a_reason_fits_a_log_line() -> None:
    found = read_delivery("evil\n\x1b[31m" + "x" * 5000, "g", b"")
    assert isinstance(found, Ignored)
    assert found.reason.isprintable()
    assert len(found.reason) < 300
