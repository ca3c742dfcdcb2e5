"""The one question of GitHub's GraphQL that somebody asks here: when were these comments edited? REST does not tell."""

from __future__ import annotations

import base64
import binascii
import re

from tests.fakes.github.access import InstallationActor, granted, sees
from tests.fakes.github.objects import JSON, Comment
from tests.fakes.github.rest import TALK_READ, Answer, Call, Operation
from tests.fakes.github.shapes import node_id, when

QUESTION = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on IssueComment { id lastEditedAt } } }"
MOST_IDS = 100


def answer(call: Call) -> Answer:
    body = call.object_body()
    asked, ids = body.get("query"), (body.get("variables") or {}).get("ids")
    if not isinstance(asked, str) or " ".join(asked.split()) != QUESTION:
        return _wrong("undefinedField", f"The stand-in understands this only: {QUESTION}")
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        return _wrong("variableMismatch", "Variable $ids of type [ID!]! was provided invalid value")
    if len(ids) > MOST_IDS:
        return _wrong("ARGUMENT_LIMIT", f"You may not provide more than {MOST_IDS} node ids; you provided {len(ids)}.")
    found = [_seen(call, one) for one in ids]
    errors: list[JSON] = [
        {"type": "NOT_FOUND", "path": ["nodes", at], "message": f"Could not resolve to a node with the global id of '{one}'."}
        for at, (one, comment) in enumerate(zip(ids, found, strict=True))
        if comment is None
    ]
    data = {"nodes": [_shape(one) if one is not None else None for one in found]}
    return Answer({"data": data} | ({"errors": errors} if errors else {}))


GRAPHQL = Operation("graphql", "POST", re.compile("/graphql"), answer, needs=(), role="read", as_app=False, creates_content=False)


def _seen(call: Call, node: str) -> Comment | None:
    """The comment behind a node id, where the actor may read it."""
    try:
        kind, _, number = base64.b64decode(node, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if kind != "IssueComment" or not number.isdecimal():
        return None
    if isinstance(call.actor, InstallationActor) and not granted(call.actor.token.permissions, TALK_READ):
        return None
    for repository in call.world.repositories.values():
        found = call.world.find_comment(repository, int(number))
        if found is not None:
            return found if sees(call.world, call.actor, repository) else None
    return None


def _shape(comment: Comment) -> JSON:
    return {"id": node_id("IssueComment", comment.id), "lastEditedAt": when(comment.edits[-1].at) if comment.edits else None}


def _wrong(code: str, message: str) -> Answer:
    return Answer({"errors": [{"message": message, "extensions": {"code": code}}]})
