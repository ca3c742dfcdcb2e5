"""The append-only record that outlives Temporal's retention: JSON lines on durable disk, 0600, each flushed to it before it counts."""

import asyncio
import contextlib
import fcntl
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from temporalio import activity

from activities.errors import TryAgain
from activities.settings import AuditSettings
from workflows.messages import AuditRecord

Key = tuple[str, str, str]
"""migration_id, what, at: the same three are the same record, however often its activity is tried."""


class Audit:
    """Several workers of one machine may share the file: each append happens under its lock."""

    def __init__(self, settings: AuditSettings) -> None:
        self._file = settings.file
        self._known: set[Key] = set()
        self._read_up_to = 0
        self._inode = 0

    @activity.defn
    async def record(self, entry: AuditRecord) -> None:
        """Errors: TryAgain when the file cannot be written; the migration waits until it can."""
        try:
            await asyncio.to_thread(self._append, entry)
        except OSError as wrong:
            raise TryAgain(
                f"Cannot write the audit record {self._file}: {wrong.strerror or wrong}. Make room or correct its permissions;"
                " what was to be recorded waits."
            ) from wrong

    def _append(self, entry: AuditRecord) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "rb") as file:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with contextlib.suppress(PermissionError):  # somebody else's file that we may append to keeps its owner's mode
                os.fchmod(descriptor, 0o600)
            torn = self._catch_up(file)
            if _key(asdict(entry)) not in self._known:
                # A line that a crash cut short stays, on a line of its own: nothing is ever taken out of this file.
                line = (b"\n" if torn else b"") + json.dumps(asdict(entry), sort_keys=True).encode() + b"\n"
                while line:
                    line = line[os.write(descriptor, line) :]
            # Also for a record that is there already: the attempt that wrote it may have died before this.
            os.fsync(descriptor)
            _sync_folder(self._file.parent)

    def _catch_up(self, file: BinaryIO) -> bool:
        """Take in what others wrote. Returns whether the last line is not ended."""
        state = os.fstat(file.fileno())
        if state.st_ino != self._inode or state.st_size < self._read_up_to:
            self._inode, self._read_up_to, self._known = state.st_ino, 0, set()
        file.seek(self._read_up_to)
        *whole, rest = file.read().split(b"\n")
        for line in whole:
            self._read_up_to += len(line) + 1
            self._remember(line)
        return bool(rest)

    def _remember(self, line: bytes) -> None:
        try:
            read = json.loads(line)
        except ValueError:
            return
        if isinstance(read, dict):
            self._known.add(_key(read))


def _key(entry: dict[str, object]) -> Key:
    return (str(entry.get("migration_id")), str(entry.get("what")), str(entry.get("at")))


def _sync_folder(folder: Path) -> None:
    """A new file is only there for good when its folder says so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
