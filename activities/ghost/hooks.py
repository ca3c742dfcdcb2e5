"""The scripts that gh-ost runs and waits for. POSIX sh, nothing slow, no dependencies. No I/O here.

The second lock of the cut-over is the hook on interactive commands: gh-ost (v1.1.10) asks it before it obeys `unpostpone`, every time. The
before-cut-over hook cannot be that lock: it runs once, before the hold begins, and a non-zero exit there ends the migration.
"""

from collections.abc import Mapping
from typing import Final

EVENTS: Final = "events.jsonl"
GRANT: Final = "grant"
"""One line: the run's hint token, the hash of the release's token, the second (Unix time) after which it is void."""

_RECORD: Final = """#!/bin/sh
# Written by skeebot for this run. Appends one line per event; gh-ost waits for it, and must never fail because of it.
umask 077
cd "${0%/*}/.." || exit 0
printf '{"event":"%s","at":%s,"pid":%s,"copied":%s,"rows":%s}\\n' \\
  "${0##*/gh-ost-on-}" "$(date +%s)" "$PPID" "${GH_OST_COPIED_ROWS:-0}" "${GH_OST_ESTIMATED_ROWS:-0}" >>events.jsonl
exit 0
"""

_GUARD: Final = """#!/bin/sh
# Written by skeebot for this run. gh-ost asks before it obeys a command on its socket; a non-zero exit refuses the command.
umask 077
case "$GH_OST_COMMAND" in
  "'unpostpone'" | "'no-postpone'" | "'cut-over'") ;;
  "'postpone-cut-over-flag-file'") echo "refused: the flag of this run is fixed"; exit 1 ;;
  *) exit 0 ;;
esac
cd "${0%/*}/.." || exit 1
now=$(date +%s) || exit 1
hint= token= until=
read -r hint token until 2>/dev/null <grant
if [ -z "$hint" ] || [ "$hint" != "$GH_OST_HOOKS_HINT_TOKEN" ] || [ -z "$token" ] || ! [ "$now" -le "$until" ]; then
  echo "refused: the cut-over is not granted"
  exit 1
fi
mv -f grant "used/$token" || exit 1
printf '{"event":"released","at":%s,"pid":%s}\\n' "$now" "$PPID" >>events.jsonl
exit 0
"""

RECORDED: Final = ("startup", "row-copy-complete", "begin-postponed", "before-cut-over", "success", "failure")
"""Never add `validated`: on --resume gh-ost (v1.1.10) reads the binary log already, but does not listen for the table's rows before
that hook is through, and what it reads meanwhile is lost (seen: a hook of 50 ms, 4,000 of 9,600 updates gone, no error)."""


def hook_scripts() -> Mapping[str, str]:
    """File name → script. gh-ost runs every file whose name begins with the hook's, so no name here begins another."""
    return {**{f"gh-ost-on-{name}": _RECORD for name in RECORDED}, "gh-ost-on-interactive-command": _GUARD}
