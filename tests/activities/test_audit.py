"""The audit record: one whole line for each record, whatever is repeated, interrupted or done at once."""

import asyncio
import json
import stat
from pathlib import Path

import pytest

from activities.audit import Audit
from activities.errors import TryAgain
from activities.settings import AuditSettings
from workflows.messages import AuditRecord


def entry(number: int = 1, what: str = "started", at: str = "2026-11-22T10:00:00Z") -> AuditRecord:
    return AuditRecord(at=at, what=what, migration_id=f"acme/shop#{number}", facts={"sql": "ALTER TABLE `größe`\nADD x int", "by": "dora"})


def audit(file: Path) -> Audit:
    return Audit(AuditSettings(file=file))


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


async def test_a_record_is_one_line_of_json(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    await audit(file).record(entry())
    assert file.read_text().endswith("}\n")
    assert [
        {
            "at": "2026-11-22T10:00:00Z",
            "what": "started",
            "migration_id": "acme/shop#1",
            "facts": {"sql": entry().facts["sql"], "by": "dora"},
        }
    ] == lines(file)


async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "audit.jsonl"
    await audit(file).record(entry())
    assert (0o600, 0o700) == (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode))


async def test_a_file_that_was_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.touch(0o644)
    await audit(file).record(entry())
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)


async def test_a_record_that_is_tried_again_is_there_once(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    here = audit(file)
    await here.record(entry())
    await here.record(entry())
    await audit(file).record(entry())  # another worker, or this one after a restart
    assert 1 == len(lines(file))


async def test_records_that_differ_in_migration_event_or_time_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    here = audit(file)
    for one in (entry(), entry(2), entry(what="ended"), entry(at="2026-11-22T10:00:01Z")):
        await here.record(one)
    assert 4 == len(lines(file))


async def test_two_workers_at_once_write_whole_lines_and_each_record_once(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    workers = [audit(file), audit(file)]
    await asyncio.gather(*(worker.record(entry(number)) for number in range(40) for worker in workers))
    assert [f"acme/shop#{number}" for number in range(40)] == sorted(
        (str(one["migration_id"]) for one in lines(file)), key=lambda one: int(one[10:])
    )


async def test_a_line_that_a_crash_cut_short_stays_and_spoils_nothing(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b'{"at": "2026-11-22T09')
    await audit(file).record(entry())
    torn, whole = file.read_text().splitlines()
    assert '{"at": "2026-11-22T09' == torn
    assert "acme/shop#1" == json.loads(whole)["migration_id"]
    await audit(file).record(entry())
    assert 2 == len(file.read_text().splitlines())


async def test_lines_of_others_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_text("not json\n[1]\nnull\n")
    await audit(file).record(entry())
    assert ["not json", "[1]", "null"] == file.read_text().splitlines()[:3]


async def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    here = audit(file)
    await here.record(entry())
    file.rename(tmp_path / "audit-2026.jsonl")
    await here.record(entry())
    assert 1 == len(lines(file))


async def test_a_file_that_cannot_be_written_is_tried_again_with_words_that_help(tmp_path: Path) -> None:
    folder = tmp_path / "audit.jsonl"
    folder.mkdir()
    with pytest.raises(TryAgain, match=r"Cannot write the audit record .*audit\.jsonl: Is a directory\. Make room"):
        await audit(folder).record(entry())


async def test_a_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("precious")
    (tmp_path / "audit.jsonl").symlink_to(other)
    with pytest.raises(TryAgain):
        await audit(tmp_path / "audit.jsonl").record(entry())
    assert "precious" == other.read_text()
