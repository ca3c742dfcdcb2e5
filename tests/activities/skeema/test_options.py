"""`.skeema` files: what is taken over, what never is, and what people are told."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.errors import OurBug
from activities.skeema.options import SchemaOptions, read_option_files, skeema_file
from embedded.tools import Tools

ORDINARY = b"""# written by skeema init
generator=skeema:1.14.1
host=db.example.com
user=app
flavor=mysql:8.0
schema=orders            # the database
default-character-set=utf8mb4
default_collation = 'utf8mb4_0900_ai_ci'
lint-pk=warning
ignore-table=^_

[staging]
schema=orders_staging

[development]
alter-wrapper=touch /tmp/x
"""


def options(*contents: bytes, environment: str = "production") -> SchemaOptions:
    names = [".skeema", "schemas/.skeema", "schemas/orders/.skeema"]
    return read_option_files(list(zip(names, contents, strict=False))).for_environment(environment)


def test_an_ordinary_file_gives_charset_collation_and_schema_without_a_word() -> None:
    found = options(ORDINARY)

    assert SchemaOptions("utf8mb4", "utf8mb4_0900_ai_ci", ("orders",)) == found


def test_a_section_wins_for_its_environment_only() -> None:
    assert ("orders_staging",) == options(ORDINARY, environment="staging").schemas
    assert ("orders",) == options(ORDINARY, environment="production").schemas


def test_an_inner_file_wins_over_an_outer_section() -> None:
    outer, inner = b"[production]\ndefault-collation=utf8mb4_bin\n", b"default-collation=utf8mb4_unicode_ci\n"

    assert "utf8mb4_unicode_ci" == options(outer, inner).default_collation


@pytest.mark.parametrize(
    "line",
    [
        "alter-wrapper=touch x",
        "ddl_wrapper = touch x",
        "loose-host-wrapper=touch x",
        "ALTER-WRAPPER-MIN-SIZE=1",
        "connect-options='sql_log_bin=0'",
        "workspace=docker",
        "temp-schema=mysql",
        "password=$SECRET",
        "my-cnf",
    ],
)
def test_what_can_run_commands_or_reach_elsewhere_is_noted_and_written_nowhere(line: str) -> None:
    found = options(f"{line}\nschema=orders\n".encode())

    assert ["it can run commands or reach elsewhere."] == [note.partition(": ")[2] for note in found.notes]
    assert "schema=scratch\n" == skeema_file(found, schema="scratch")


def test_an_unknown_option_is_noted_once_and_cannot_dress_up_the_note() -> None:
    found = options(b"al`ter\x1b[31m-thing=1\n")

    assert ("`al?ter?[31m-thing` in .skeema is not applied: skeebot does not use it.",) == found.notes


@pytest.mark.parametrize("schema", [b"`touch x`", b"/^orders/", b"*", b"$SCHEMA"])
def test_a_schema_that_only_skeema_could_work_out_is_not_evaluated(schema: bytes) -> None:
    found = options(b"schema=" + schema)

    assert () == found.schemas
    assert "is not evaluated" in found.notes[0]
    assert found.disagreement_with("orders") is None


def test_a_schema_that_is_not_the_mapped_one_stops_the_plan() -> None:
    found = options(b"schema=orders,orders_2")

    assert found.disagreement_with("orders_2") is None
    refusal = found.disagreement_with("billing")
    assert refusal is not None
    assert ("schema-mismatch", True) == (refusal.code, "repo-map" in refusal.next)


@pytest.mark.parametrize("content", [b"default-collation=utf8mb4;x", b"default-character-set=$(touch x)", b"\xff\xfe"])
def test_options_that_matter_and_cannot_be_read_stop_the_plan(content: bytes) -> None:
    refusal = options(content).disagreement_with("orders")

    assert refusal is not None
    assert "options" == refusal.code


@pytest.mark.parametrize("schema", ["a\nddl-wrapper=touch x", "`x`", "*", "/x/", "$X", "a,b", ""])
def test_nothing_but_a_name_is_written_as_schema(schema: str) -> None:
    with pytest.raises(OurBug):
        skeema_file(SchemaOptions(), schema=schema)


@given(st.lists(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)), max_size=3))
def test_whatever_the_files_say_only_allowed_lines_are_written(contents: list[bytes]) -> None:
    found = options(*contents)
    if found.disagreement_with("scratch") is not None:
        return

    lines = skeema_file(found, schema="scratch").splitlines()

    assert "schema=scratch" == lines[0]
    assert all(line.partition("=")[0] in ("default-character-set", "default-collation") for line in lines[1:])
    assert all(line.replace("-", "").replace("_", "").replace("=", "").isalnum() for line in lines)


def test_the_file_that_is_written_runs_nothing_of_the_one_that_was_read(tools: Tools, tmp_path: Path) -> None:
    """The real skeema as the judge; it also shows that the test would notice."""
    witness = tmp_path / "witness"
    hostile = f"schema=`touch {witness}; echo orders`\nddl-wrapper=touch {witness}\nhost-wrapper=touch {witness}\n"

    def run_skeema(name: str, option_file: str) -> None:
        (folder := tmp_path / name).mkdir()
        (home := tmp_path / f"{name}-home").mkdir()
        (folder / ".skeema").write_text("host=127.0.0.1\n" + option_file)
        (folder / "orders.sql").write_text("CREATE TABLE orders (id int);\n")
        subprocess.run(
            [tools.skeema, "diff", "--port=1", "--user=x", "--password="],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(home)},
            capture_output=True,
            timeout=60,
            check=False,
        )

    run_skeema("ours", skeema_file(options(hostile.encode()), schema="scratch"))
    assert not witness.exists()

    run_skeema("theirs", hostile)
    assert witness.exists()
