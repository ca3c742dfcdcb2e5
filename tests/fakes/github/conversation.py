"""Labels, comments and reactions."""

from __future__ import annotations

import re

from tests.fakes.github.foundation import PullRef, RepositoryRef, UserRef, atomic
from tests.fakes.github.objects import (
    JSON,
    REACTIONS,
    App,
    Comment,
    CommentEdit,
    Label,
    PullRequest,
    Reaction,
    Refused,
    TimelineEvent,
    User,
)
from tests.fakes.github.pulls import Pulls

COMMENT_LIMIT = 65_536
"""Characters."""
LABEL_LIMIT = 50
"""Characters."""


class Conversation(Pulls):
    # --- labels ---

    @atomic
    def create_label(self, repository: RepositoryRef, name: str, *, color: str = "ededed", description: str | None = None) -> Label:
        repo = self.repository(repository)
        if not name or len(name) > LABEL_LIMIT or "," in name:
            raise Refused(422, "Validation Failed", [{"resource": "Label", "code": "invalid", "field": "name"}])
        if not re.fullmatch(r"[0-9a-fA-F]{6}", color):
            raise Refused(422, "Validation Failed", [{"resource": "Label", "code": "invalid", "field": "color"}])
        if name.lower() in repo.labels:
            raise Refused(422, "Validation Failed", [{"resource": "Label", "code": "already_exists", "field": "name"}])
        label = Label(self.next_id(), name, color.lower(), description)
        repo.labels[name.lower()] = label
        return label

    @atomic
    def add_label(self, pull: PullRef, *names: str, by: UserRef) -> None:
        """Put labels on a pull request; one that the repository lacks is created by who may write. One `labeled` event for each new one."""
        pr, who = self.pull(pull), self.user(by)
        for name in names:
            known = pr.repository.labels.get(name.lower())
            if known is None and not self.may(who, pr.repository, "write"):
                raise Refused(403, "You do not have permission to create labels on this repository.")
            label = known or self.create_label(pr.repository, name)
            if label not in pr.labels:
                pr.labels.append(label)
                self._labelled(pr, label, "labeled", who)

    @atomic
    def remove_label(self, pull: PullRef, name: str, *, by: UserRef) -> None:
        pr, who = self.pull(pull), self.user(by)
        label = next((label for label in pr.labels if label.name.lower() == name.lower()), None)
        if label is None:
            raise Refused(404, "Label does not exist")
        pr.labels.remove(label)
        self._labelled(pr, label, "unlabeled", who)

    @atomic
    def set_labels(self, pull: PullRef, *names: str, by: UserRef) -> None:
        """Exactly these labels and no other."""
        pr = self.pull(pull)
        wanted = {name.lower() for name in names}
        for label in [label for label in pr.labels if label.name.lower() not in wanted]:
            self.remove_label(pr, label.name, by=by)
        self.add_label(pr, *names, by=by)

    def label_names(self, pull: PullRef) -> set[str]:
        with self.lock:
            return {label.name for label in self.pull(pull).labels}

    def _labelled(self, pr: PullRequest, label: Label, action: str, by: User) -> None:
        verb = "added" if action == "labeled" else "removed"
        pr.timeline.append(TimelineEvent(self.next_id(), self.now(), by, action, f"{verb} the", label))
        self._pull_event(pr, action, by, label=self.shapes.label(pr.repository, label))

    # --- comments ---

    @atomic
    def comment(self, pull: PullRef, author: UserRef, body: str, *, via_app: App | None = None) -> Comment:
        pr, who = self.pull(pull), self.user(author)
        _refuse_bad_body(body)
        now = self.now()
        comment = Comment(self.next_id(), pr, who, body, now, now + self.written_for, via_app)
        pr.comments.append(comment)
        self._comment_event(comment, "created", who)
        return comment

    @atomic
    def edit_comment(self, comment: Comment, body: str, *, by: UserRef) -> None:
        """Replace a comment's text. Its author may, and so may anybody with write access: GitHub lets them."""
        who = self.user(by)
        _refuse_bad_body(body)
        self._refuse_stranger(comment, who)
        before, comment.body = comment.body, body
        comment.updated_at = self.now()
        comment.edits.append(CommentEdit(comment.updated_at, who, before))
        self._comment_event(comment, "edited", who, changes={"body": {"from": before}})

    @atomic
    def delete_comment(self, comment: Comment, *, by: UserRef) -> None:
        who = self.user(by)
        self._refuse_stranger(comment, who)
        comment.pull.comments.remove(comment)
        self._comment_event(comment, "deleted", who)

    def _refuse_stranger(self, comment: Comment, who: User) -> None:
        if who is not comment.user and not self.may(who, comment.pull.repository, "write"):
            raise Refused(403, "Must have admin rights to Repository.")

    def find_comment(self, repository: RepositoryRef, comment_id: int) -> Comment | None:
        repo = self.repository(repository)
        return next((c for pr in repo.pulls.values() for c in pr.comments if c.id == comment_id), None)

    def _comment_event(self, comment: Comment, action: str, by: User, **extra: object) -> None:
        pr = comment.pull
        pr.updated_at = self.now()
        body: JSON = {"issue": self.shapes.issue(pr), "comment": self.shapes.comment(comment)} | extra
        self.emit("issue_comment", action, by, body, repository=pr.repository)

    # --- reactions ---

    @atomic
    def react(self, comment: Comment, user: UserRef, content: str) -> tuple[Reaction, bool]:
        """A reaction and whether it is new; one person reacts with one content once. GitHub sends no webhook for it."""
        who = self.user(user)
        if content not in REACTIONS:
            raise Refused(422, "Validation Failed", [{"resource": "Reaction", "code": "invalid", "field": "content"}])
        for reaction in comment.reactions:
            if reaction.user is who and reaction.content == content:
                return reaction, False
        reaction = Reaction(self.next_id(), who, content, self.now())
        comment.reactions.append(reaction)
        return reaction, True


def _refuse_bad_body(body: str) -> None:
    if not body.strip():
        raise Refused(
            422,
            "Validation Failed",
            [{"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": "Body cannot be blank"}],
        )
    if len(body) > COMMENT_LIMIT:
        raise Refused(
            422,
            "Validation Failed",
            [
                {
                    "resource": "IssueComment",
                    "code": "unprocessable",
                    "field": "data",
                    "message": f"Body is too long (maximum is {COMMENT_LIMIT} characters)",
                }
            ],
        )
