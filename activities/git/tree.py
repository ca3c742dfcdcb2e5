"""What a directory holds at a commit, looked at without checking anything out: names and modes first, contents only of what may be read."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from activities.git.cache import Clone, Damaged, TooLargeToFetch, oid
from activities.settings import Ceilings
from activities.skeema.sources import shown, together, too_large
from workflows.rules.plan import Refusal

OPTION_FILE: Final = ".skeema"
_SYMLINK: Final = "120000"
_GITLINK: Final = "160000"
_TREE: Final = "040000"
FILES: Final = frozenset({"100644", "100755", "100664"})


@dataclass(frozen=True)
class Entry:
    """One name in a tree. name: as git has it, which need not be text."""

    mode: str
    oid: str
    name: bytes

    @property
    def text(self) -> str:
        return self.name.decode("utf-8", errors="replace")

    @property
    def is_schema_file(self) -> bool:
        return self.mode in FILES and self.name.endswith(b".sql")


@dataclass(frozen=True)
class Listing:
    """The entries directly in one directory at one commit; None where there is no such directory."""

    entries: tuple[Entry, ...] | None

    @property
    def exists(self) -> bool:
        return self.entries is not None

    def schema_files(self) -> dict[str, str]:
        """File name → blob, for the `*.sql` files whose names are text (others are refused before anything is read)."""
        return {entry.text: entry.oid for entry in self.entries or () if entry.is_schema_file}

    def option_file(self) -> str:
        """The blob of `.skeema`, "" where there is none."""
        return next((entry.oid for entry in self.entries or () if entry.text == OPTION_FILE and entry.mode in FILES), "")


@dataclass(frozen=True)
class DirectoryContent:
    """The `*.sql` files directly in a directory.

    too_large: names and sizes of those that are not read for their size. refusal: all of them together are too large, so none is read.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    too_large: dict[str, int] = field(default_factory=dict)
    refusal: Refusal | None = None


def clean_path(path: str) -> str:
    """A directory's path as git spells it: no slash at either end, no `.` between; "" is the root."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/".join(parts)


def below(directory: str, path: bytes) -> bool:
    """Whether a file is in a directory or deeper. Of the root, only what is directly in it is a schema directory's business."""
    return path.startswith(directory.encode() + b"/") if directory else b"/" not in path


async def list_directory(clone: Clone, commit: str, path: str) -> Listing:
    """Errors: Damaged when the commit's trees are not here."""
    tree = oid(commit)
    if clean_path(path):
        wanted = clean_path(path).encode()
        above = _entries(await clone.output_of("ls-tree", "-z", "--full-tree", tree, "--", wanted))
        found = next((entry for entry in above if entry.name == wanted), None)
        if found is None or found.mode != _TREE:
            return Listing(None)
        tree = found.oid
    return Listing(tuple(_entries(await clone.output_of("ls-tree", "-z", tree))))


async def option_blobs(clone: Clone, commit: str, directories: Sequence[bytes]) -> dict[bytes, str]:
    """directory → blob of its `.skeema` at a commit, for those that have one."""
    found: dict[bytes, str] = {}
    for at in range(0, len(directories), 200):
        asked = {_inside(directory, OPTION_FILE.encode()): directory for directory in directories[at : at + 200]}
        listing = _entries(await clone.output_of("ls-tree", "-z", "--full-tree", oid(commit), "--", *asked))
        found |= {asked[entry.name]: entry.oid for entry in listing if entry.name in asked and entry.mode in FILES}
    return found


async def bring(clone: Clone, blobs: Mapping[str, str], ceilings: Ceilings) -> Refusal | None:
    """Fetch in one batch whichever blobs are not here yet. blobs: blob → the file's name, for people.

    The transfer is cut off where it passes what honest schema files come to, whatever the server sends.
    """
    missing = set(blobs) - set(await clone.sizes_of(blobs))
    limit = transfer_limit(ceilings)
    try:
        await clone.fetch_blobs(missing, limit=limit)
    except TooLargeToFetch:
        names = ", ".join(sorted(f"`{shown(blobs[one])}`" for one in missing)[:5]) + (" …" if len(missing) > 5 else "")
        return Refusal(
            code="too-large",
            what=f"The schema files to read ({names}) are larger than {limit:,} bytes together, compressed.",
            next="Keep one CREATE TABLE per file and data out of schema files, then push again.",
        )
    return None


def transfer_limit(ceilings: Ceilings) -> int:
    """Bytes of one batch, compressed, and of one directory, as it is: thirty-two files of the largest size."""
    return 32 * ceilings.bytes_per_file


async def read_directory(clone: Clone, path: str, listing: Listing, ceilings: Ceilings) -> DirectoryContent:
    """Contents of the `*.sql` files of a listing whose blobs are here. Errors: Damaged when one is not."""
    wanted = listing.schema_files()
    sizes = await clone.sizes_of(wanted.values())
    if absent := set(wanted.values()) - set(sizes):
        raise Damaged(f"{len(absent)} blobs did not arrive")
    small = {name: blob for name, blob in wanted.items() if sizes[blob] <= ceilings.bytes_per_file}
    too_large = {name: sizes[blob] for name, blob in wanted.items() if name not in small}
    whole = sum(sizes[blob] for blob in small.values())
    if whole > transfer_limit(ceilings):
        return DirectoryContent(
            too_large=too_large,
            refusal=Refusal(
                code="too-large",
                what=f"The schema files of `{shown(path)}` come to {whole:,} bytes; {transfer_limit(ceilings):,} are read at most.",
                next="Keep one CREATE TABLE per file and data out of schema files, then push again.",
            ),
        )
    contents = await clone.read_blobs(small.values(), limit=whole)
    return DirectoryContent(files={name: contents[blob] for name, blob in small.items()}, too_large=too_large)


# ── What is refused by name and mode alone ──────────────────────────────────────────────────────────────────────────

_CONTROL: Final = re.compile("[\x00-\x1f\x7f\u0080-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def hostile(directory: str, entries: Iterable[Entry]) -> Refusal | None:
    """Why a directory with these entries is not read at all; None where every name and mode is ordinary."""
    entries = list(entries)
    return together([*_wrong_entries(directory, entries), *_wrong_endings(directory, entries), *_collisions(directory, entries)])


def hostile_below(entries: Iterable[Entry]) -> Refusal | None:
    """The same for what lies deeper, where nothing is read: links and unreadable names only. Their names are whole paths."""
    return together([*_wrong_entries("", entries)])


def oversized(path: str, content: DirectoryContent, changed: Iterable[str], ceilings: Ceilings) -> Refusal | None:
    """Why these changed files are not read: their size, one by one or together."""
    sizes = content.too_large
    refusals = [too_large(_place(path, name), ceilings, sizes[name]) for name in sorted(changed) if name in sizes]
    return together([*refusals, *([content.refusal] if content.refusal else [])])


def _wrong_entries(directory: str, entries: Iterable[Entry]) -> Iterator[Refusal]:
    for entry in entries:
        place = f"`{shown(_place(directory, entry.text))}`"
        if entry.mode == _SYMLINK:
            yield Refusal("symlink", f"{place} is a symbolic link.", "Put the file itself into the schema directory and push again.")
        elif entry.mode == _GITLINK:
            yield Refusal("gitlink", f"{place} is a submodule.", "Keep submodules out of schema directories and push again.")
        elif not _is_text(entry.name):
            yield Refusal("bad-name", f"The name {place} is not UTF-8.", "Rename the file and push again.")
        elif _CONTROL.search(entry.text):
            yield Refusal("bad-name", f"The name {place} holds control or invisible characters.", "Rename the file and push again.")


def _wrong_endings(directory: str, entries: Sequence[Entry]) -> Iterator[Refusal]:
    for entry in entries:
        if entry.name.lower().endswith(b".sql") and not entry.name.endswith(b".sql"):
            place = f"`{shown(_place(directory, entry.text))}`"
            yield Refusal("bad-name", f"{place} would be ignored: schema files end in `.sql`.", "Rename the file and push again.")


def _collisions(directory: str, entries: Sequence[Entry]) -> Iterator[Refusal]:
    by_folded: dict[str, Entry] = {}
    for entry in entries:
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", entry.text).casefold())
        other = by_folded.setdefault(folded, entry)
        if other is not entry:
            yield Refusal(
                code="case-collision",
                what=f"`{shown(_place(directory, other.text))}` and `{shown(entry.text)}` are the same file where case does not count.",
                next="Rename one of the two and push again.",
            )


def _is_text(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _entries(listing: bytes) -> Iterator[Entry]:
    """`mode type oid TAB name NUL`, git's own form of `ls-tree -z`."""
    for line in listing.split(b"\0"):
        if line:
            facts, _, name = line.partition(b"\t")
            mode, _, blob = facts.decode().split()
            yield Entry(mode=mode, oid=blob, name=name)


def _inside(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


def _place(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
