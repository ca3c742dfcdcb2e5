"""A bare git repository driven through git's own plumbing. Blocking; a call costs a few milliseconds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

ZERO = "0" * 40
PATCH_LIMIT = 200_000
"""Bytes of one diff; beyond it GitHub leaves `patch` out."""


@dataclass(frozen=True)
class Symlink:
    """A file that points elsewhere: `push(..., files={"a.sql": Symlink("/etc/passwd")})`."""

    target: str


@dataclass(frozen=True)
class Gitlink:
    """A submodule's entry, without the submodule."""

    commit: str


FileContent = bytes | str | Symlink | Gitlink | None
"""None removes the path (a directory with all that is in it)."""
Files = Mapping[str, FileContent] | Mapping[bytes, FileContent]


@dataclass(frozen=True)
class Commit:
    sha: str
    tree: str
    parents: tuple[str, ...]
    author_name: str
    author_email: str
    authored_at: str
    committer_name: str
    committer_email: str
    committed_at: str
    message: str


@dataclass(frozen=True)
class FileChange:
    path: str
    previous_path: str | None
    status: Literal["added", "removed", "modified", "renamed", "changed"]
    sha: str
    additions: int
    deletions: int
    patch: str | None


@dataclass(frozen=True)
class TreeEntry:
    mode: str
    type: str
    sha: str
    path: str
    size: int


class GitError(RuntimeError):
    """git answered with an error; the message holds what it was asked and what it said."""


def environment() -> dict[str, str]:
    """git's environment, free of this machine's and this user's configuration."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


class BareRepository:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._commits: dict[str, Commit] = {}
        self._spans: dict[tuple[str, str, int], list[str]] = {}
        self._changes: dict[tuple[str, str], list[FileChange]] = {}
        self._merge_bases: dict[tuple[str, str], str | None] = {}

    @classmethod
    def create(cls, path: Path, default_branch: str) -> BareRepository:
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["git", "init", "--quiet", "--bare", f"--initial-branch={default_branch}", "--template=", str(path)],
            check=True,
            env=environment(),
        )
        with (path / "config").open("a") as config:
            config.write(
                "[uploadpack]\n\thideRefs = refs/forks\n"
                "\tallowFilter = true\n\tallowAnySHA1InWant = true\n\tallowReachableSHA1InWant = true\n"
                "[receive]\n\thideRefs = refs/pull\n\tdenyDeleteCurrent = ignore\n\tfsckObjects = false\n"
                "[http]\n\treceivepack = true\n[gc]\n\tauto = 0\n[fastimport]\n\tunpackLimit = 1000\n"
                "[merge]\n\trenames = true\n"
            )
        return cls(path)

    def git(self, *arguments: str | bytes, stdin: bytes | None = None, may_fail: bool = False) -> bytes:
        result = self.run(*arguments, stdin=stdin)
        if result.returncode and not may_fail:
            raise GitError(f"git {arguments!r} in {self.path} exited {result.returncode}: {result.stderr.decode(errors='replace')}")
        return result.stdout

    def run(
        self, *arguments: str | bytes, stdin: bytes | None = None, extra: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["git", "--git-dir", str(self.path), *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
            env=environment() | dict(extra or {}),
        )

    # --- writing ---

    def commit(
        self,
        branch: str,
        files: Files,
        *,
        parent: str | None,
        name: str,
        email: str,
        message: str,
        at: datetime,
        force: bool = False,
    ) -> str:
        """Put one commit on a branch and return its SHA. Without `force` the branch must contain `parent`'s history."""
        when = f"{int(at.timestamp())} +0000"
        text = message.encode()
        stream = bytearray(b"feature done\n")
        stream += f"commit refs/heads/{branch}\nmark :1\n".encode()
        for role in ("author", "committer"):
            stream += f"{role} {name} <{email}> {when}\n".encode()
        stream += b"data %d\n%s\n" % (len(text), text)
        if parent:
            stream += f"from {parent}\n".encode()
        for path, content in files.items():
            stream += _file_command(path.encode() if isinstance(path, str) else path, content)
        stream += b"\nget-mark :1\ndone\n"
        options = ["--force"] if force else []
        return self.git("fast-import", "--quiet", *options, stdin=bytes(stream)).decode().strip()

    def commit_tree(self, tree: str, parents: Sequence[str], *, name: str, email: str, message: str, at: datetime) -> str:
        when = f"{int(at.timestamp())} +0000"
        identity = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email), ("DATE", when))
        }
        arguments = [word for parent in parents for word in ("-p", parent)]
        result = self.run("commit-tree", tree, *arguments, stdin=message.encode(), extra=identity)
        if result.returncode:
            raise GitError(f"git commit-tree in {self.path}: {result.stderr.decode(errors='replace')}")
        return result.stdout.decode().strip()

    def update_ref(self, ref: str, sha: str | None) -> None:
        """Point a ref at a commit; None removes the ref."""
        if sha is None:
            self.git("update-ref", "-d", ref)
        else:
            self.git("update-ref", ref, sha)

    def fetch_from(self, other: BareRepository, sha: str, ref: str) -> None:
        """Bring one commit of another repository (a fork) here, under `ref`."""
        self.git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(other.path), f"+{sha}:{ref}")

    # --- reading ---

    def refs(self, prefix: str = "refs/heads/") -> dict[str, str]:
        lines = self.git("for-each-ref", "--format=%(objectname) %(refname)", prefix).decode().splitlines()
        return {ref: sha for sha, ref in (line.split(" ", 1) for line in lines)}

    def resolve(self, revision: str) -> str | None:
        """The full SHA of a commit-ish, or None. Never reads its argument as an option."""
        if not revision or revision.startswith("-"):
            return None
        found = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", may_fail=True)
        return found.decode().strip() or None

    def merge_tree(self, base: str, head: str) -> str | None:
        """The tree of the merge of two commits, or None where they conflict."""
        result = self.run("merge-tree", "--write-tree", "--no-messages", base, head)
        return result.stdout.decode().split("\n", 1)[0].strip("\0") if result.returncode == 0 else None

    def merge_base(self, one: str, other: str) -> str | None:
        key = (one, other)
        if key not in self._merge_bases:
            self._merge_bases[key] = self.git("merge-base", one, other, may_fail=True).decode().strip() or None
        return self._merge_bases[key]

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        return self.merge_base(ancestor, descendant) == ancestor

    def read_commit(self, sha: str) -> Commit:
        if sha not in self._commits:
            form = "%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B"
            fields = self.git("log", "-1", f"--format={form}", sha).decode(errors="replace").split("\0")
            self._commits[sha] = Commit(
                sha=fields[0],
                tree=fields[1],
                parents=tuple(fields[2].split()),
                author_name=fields[3],
                author_email=fields[4],
                authored_at=_zulu(fields[5]),
                committer_name=fields[6],
                committer_email=fields[7],
                committed_at=_zulu(fields[8]),
                message=fields[9].rstrip("\n"),
            )
        return self._commits[sha]

    def commits_between(self, base: str, head: str, limit: int = 250) -> list[str]:
        """SHAs in `base..head`, oldest first; `base` may be empty for all of `head`'s history."""
        key = (base, head, limit)
        if key not in self._spans:
            span = f"{base}..{head}" if base else head
            self._spans[key] = self.git("rev-list", "--reverse", f"--max-count={limit}", span).decode().split()
        return self._spans[key]

    def changes(self, base: str, head: str) -> list[FileChange]:
        """What differs between two commits, as `GET …/pulls/N/files` tells it."""
        key = (base, head)
        if key not in self._changes:
            self._changes[key] = self._diff(base, head)
        return self._changes[key]

    def _diff(self, base: str, head: str) -> list[FileChange]:
        raw = self.git("diff-tree", "-r", "-z", "-M", "--raw", "--no-abbrev", base, head).split(b"\0")
        counts = _line_counts(self.git("diff-tree", "-r", "-z", "-M", "--numstat", base, head))
        patches = self._patches(base, head)
        changes: list[FileChange] = []
        position = 0
        while position < len(raw) and raw[position]:
            _, _, _, sha, letter = raw[position].decode().lstrip(":").split(" ")
            paths = 2 if letter[0] in "RC" else 1
            names = [name.decode(errors="replace") for name in raw[position + 1 : position + 1 + paths]]
            position += 1 + paths
            added, removed = counts.get(names[-1], (0, 0))
            changes.append(
                FileChange(
                    path=names[-1],
                    previous_path=names[0] if paths == 2 else None,
                    status=_STATUS.get(letter[0], "changed"),
                    sha=sha,
                    additions=added,
                    deletions=removed,
                    patch=patches[len(changes)] if len(changes) < len(patches) else None,
                )
            )
        return changes

    def _patches(self, base: str, head: str) -> list[str | None]:
        text = self.git("diff-tree", "-r", "-M", "-p", base, head)
        patches: list[str | None] = []
        for part in (b"\n" + text).split(b"\ndiff --git ")[1:]:
            start = part.find(b"\n@@ ")
            body = part[start + 1 :].rstrip(b"\n")
            patches.append(None if start < 0 or len(body) > PATCH_LIMIT else body.decode(errors="replace"))
        return patches

    def entries(self, sha: str, path: str = "") -> list[TreeEntry] | None:
        """The entries of a directory; None where `path` is no directory of that commit."""
        name = f"{sha}:{path}" if path else f"{sha}^{{tree}}"
        result = self.run("ls-tree", "-z", "--long", name)
        if result.returncode:
            return None
        found = []
        for line in result.stdout.split(b"\0")[:-1]:
            facts, _, entry = line.partition(b"\t")
            mode, kind, blob, size = facts.decode().split()
            inside = entry.decode(errors="replace")
            found.append(TreeEntry(mode, kind, blob, f"{path}/{inside}" if path else inside, 0 if size == "-" else int(size)))
        return found

    def entry(self, sha: str, path: str) -> TreeEntry | None:
        folder, _, name = path.rpartition("/")
        return next((e for e in self.entries(sha, folder) or [] if e.path.rpartition("/")[2] == name), None)

    def blob(self, sha: str) -> bytes:
        return self.git("cat-file", "blob", sha)


_STATUS: dict[str, Literal["added", "removed", "modified", "renamed", "changed"]] = {
    "A": "added",
    "D": "removed",
    "M": "modified",
    "R": "renamed",
    "T": "changed",
}


def _zulu(iso: str) -> str:
    return iso.replace("+00:00", "Z")


def _line_counts(numstat: bytes) -> dict[str, tuple[int, int]]:
    parts = numstat.split(b"\0")
    counts = {}
    position = 0
    while position < len(parts) and parts[position]:
        added, removed, name = parts[position].split(b"\t", 2)
        if not name:  # a rename: the two names follow
            name = parts[position + 2]
            position += 2
        position += 1
        counts[name.decode(errors="replace")] = (
            0 if added == b"-" else int(added),
            0 if removed == b"-" else int(removed),
        )
    return counts


def _file_command(path: bytes, content: FileContent) -> bytes:
    quoted = b'"' + b"".join(bytes([c]) if 32 <= c < 127 and c not in b'"\\' else b"\\%03o" % c for c in path) + b'"'
    match content:
        case None:
            return b"D " + quoted + b"\n"
        case Gitlink(commit):
            return b"M 160000 %s %s\n" % (commit.encode(), quoted)
        case Symlink(target):
            return b"M 120000 inline %s\ndata %d\n%s\n" % (quoted, len(target.encode()), target.encode())
        case _:
            data = content.encode() if isinstance(content, str) else content
            return b"M 100644 inline %s\ndata %d\n%s\n" % (quoted, len(data), data)
