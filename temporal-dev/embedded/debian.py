"""MySQL out of Debian packages, without root: unpacked into a folder and run with that folder's own loader.

The system's apt is left as it is. We give apt a configuration, lists, cache and status file of our own; the mirror is
read from the machine's own sources, because a private network may know no other. Signatures are checked as always.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("mysql-server-core", "mysql-client-core")

# mysqld runs without these, but its packages name them. Pretending that they are installed keeps the closure small.
PRETENDED = ("perl", "perl-base", "debconf", "init-system-helpers", "psmisc", "lsof")

_SUITE = "sid"  # the only suite of Debian that carries MySQL
_SUITES = ("bullseye", "bookworm", "trixie", "forky", "oldstable", "stable", "testing", "unstable", "sid")
_NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/lintian", "usr/share/bug")


class NotFromDebianError(Exception):
    """Why this machine cannot give us MySQL in this way; the text says what was missing."""


@dataclass(frozen=True)
class Mirror:
    """Where this machine gets Debian from. `signed_by` is a keyring's path, None where apt's own keys apply."""

    uri: str
    signed_by: str | None


def mirror_of(sources: Iterable[Path]) -> Mirror:
    """The first Debian mirror named by those apt source files, one-line and deb822 alike.

    Raises NotFromDebianError if none of them names one.
    """
    read = []
    for path in sources:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        read.append(str(path))
        entries = _deb822(text) if path.suffix == ".sources" else _one_line(text)
        for mirror, suites, components in entries:
            if "main" in components and any(suite.split("-")[0] in _SUITES for suite in suites):
                return mirror
    raise NotFromDebianError(f"no Debian mirror in this machine's apt sources (read: {', '.join(read) or 'none found'})")


def _one_line(text: str) -> Iterator[tuple[Mirror, list[str], list[str]]]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line)
        if match and _is_archive(match[2], match[3]):
            signed_by = re.search(r"signed-by=(\S+)", match[1] or "")
            yield Mirror(match[2], signed_by[1] if signed_by else None), [match[3]], match[4].split()


def _deb822(text: str) -> Iterator[tuple[Mirror, list[str], list[str]]]:
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", text):
        fields = {
            name.lower(): " ".join(value.split())
            for name, value in re.findall(r"^([A-Za-z-]+):((?:.*(?:\n[ \t].*)*))", stanza, re.MULTILINE)
        }
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        suites = fields.get("suites", "").split()
        signed_by = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            if _is_archive(uri, *suites):
                # A key written into the stanza itself instead of a path is left to apt's own trusted keys.
                mirror = Mirror(uri, signed_by if signed_by.startswith("/") else None)
                yield mirror, suites, fields.get("components", "").split()


def _is_archive(uri: str, *suites: str) -> bool:
    return "-security" not in uri and not all("-security" in suite for suite in suites)


def system_sources() -> list[Path]:
    """This machine's apt source files, in apt's order."""
    etc = Path("/etc/apt")
    folder = etc / "sources.list.d"
    return [etc / "sources.list", *sorted([*folder.glob("*.list"), *folder.glob("*.sources")])]


def unpack_mysql(into: Path, say: Callable[[str], None]) -> None:
    """Fetch MySQL and everything it needs and unpack it into `into`: about 56 MB over the network, 250 MB on disk.

    Raises NotFromDebianError with the reason, and what apt said, when this machine cannot do that.
    """
    for program in ("apt-get", "apt-config", "dpkg", "dpkg-deb"):
        if shutil.which(program) is None:
            raise NotFromDebianError(f"{program} is not on PATH, so Debian packages cannot be fetched")
    mirror = mirror_of(system_sources())
    apt = into / "apt"
    environment = _private_apt(apt, mirror)

    say(f"reading the package lists of Debian {_SUITE}")
    _run(["apt-get", "update"], environment)
    say("downloading the Debian packages of MySQL (56 MB)")
    wanted = ["install", "--yes", "--no-install-recommends", "--download-only", *PACKAGES]
    _run(["apt-get", *wanted], environment)

    say("unpacking")
    for package in sorted((apt / "cache" / "archives").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(package), str(into)], environment)
    for folder in (apt, *(into / name for name in _NOT_NEEDED)):
        shutil.rmtree(folder, ignore_errors=True)


def _private_apt(apt: Path, mirror: Mirror) -> dict[str, str]:
    """Write apt's own little world under `apt`; answers the environment in which apt sees nothing else."""
    for folder in ("lists/partial", "cache/archives/partial", "sources", "nothing"):
        (apt / folder).mkdir(parents=True)
    signed_by = f"Signed-By: {mirror.signed_by}\n" if mirror.signed_by else ""
    (apt / "sources" / "mysql.sources").write_text(f"Types: deb\nURIs: {mirror.uri}\nSuites: {_SUITE}\nComponents: main\n{signed_by}")
    architecture = _run(["dpkg", "--print-architecture"], dict(os.environ)).strip()
    (apt / "status").write_text("".join(_installed(name, architecture) for name in PRETENDED))

    # How this machine reaches the network (proxies, certificates) is kept; its hooks and extra indexes are not.
    dump = _run(["apt-config", "dump"], dict(os.environ)).splitlines()
    kept = [line for line in dump if line.startswith("Acquire::") and not line.startswith("Acquire::IndexTargets")]
    ours = {
        "Dir::Etc::Main": apt / "nothing" / "apt.conf",
        "Dir::Etc::Parts": apt / "nothing",
        "Dir::Etc::SourceList": apt / "nothing" / "sources.list",
        "Dir::Etc::SourceParts": apt / "sources",
        "Dir::Etc::Preferences": apt / "nothing" / "preferences",
        "Dir::Etc::PreferencesParts": apt / "nothing",
        "Dir::State": apt,
        "Dir::State::Lists": apt / "lists",
        "Dir::State::Status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "",  # the folder is ours alone; apt's own user could not write here
    }
    configuration = apt / "apt.conf"
    configuration.touch(mode=0o600)  # a proxy's URL may hold a password
    configuration.write_text("\n".join([*kept, *(f'{name} "{value}";' for name, value in ours.items())]) + "\n")
    return {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}


def _installed(name: str, architecture: str) -> str:
    return (
        f"Package: {name}\nStatus: install ok installed\nPriority: optional\nSection: misc\n"
        f"Maintainer: nobody <nobody@example.invalid>\nArchitecture: {architecture}\nMulti-Arch: allowed\n"
        f"Version: 999\nDescription: not really here\n\n"
    )


def _run(command: list[str], environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=600,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise NotFromDebianError(f"`{' '.join(command[:2])}` did not finish within ten minutes") from late
    if done.returncode != 0:
        said = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise NotFromDebianError(f"`{' '.join(command)}` failed with exit code {done.returncode}:\n{said}")
    return done.stdout


def command_of(root: Path) -> tuple[str, ...]:
    """How to run the mysqld unpacked in `root`: its own loader and libraries, never the system's."""
    loaders = [*root.glob("usr/lib64/ld-linux-*.so.*"), *root.glob("usr/lib/ld-linux-*.so.*")]
    libraries = [*root.glob("usr/lib/*-linux-gnu*")]
    mysqld = root / "usr" / "sbin" / "mysqld"
    if not loaders or not libraries or not mysqld.is_file():
        raise NotFromDebianError(f"the packages unpacked in {root} hold no runnable mysqld")
    path = ":".join(str(folder) for folder in [*libraries, root / "usr/lib/mysql/private"])
    return (str(loaders[0]), "--library-path", path, "--argv0", str(mysqld), str(mysqld))


def options_of(root: Path) -> tuple[str, ...]:
    """The options by which that mysqld finds its own messages, character sets and plugins, and nothing outside."""
    return (
        f"--basedir={root}/usr",
        f"--lc-messages-dir={root}/usr/share/mysql",
        f"--character-sets-dir={root}/usr/share/mysql/charsets",
        f"--plugin-dir={root}/usr/lib/mysql/plugin",
        "--secure-file-priv=NULL",
    )
