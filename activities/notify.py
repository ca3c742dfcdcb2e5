"""Chat, through Apprise. A channel that fails never fails a migration."""

import asyncio
from pathlib import Path
from typing import Final

import apprise
from temporalio import activity

from activities.settings import NotifySettings
from workflows.messages import Notice

PATIENCE_SECONDS: Final = 30.0


class Notifier:
    """settings.urls_file: Apprise URLs, one a line; blank lines and lines with # in front are skipped. They carry tokens: never log one."""

    def __init__(self, settings: NotifySettings) -> None:
        self._urls_file = settings.urls_file

    @activity.defn
    async def notify(self, notice: Notice) -> None:
        """Tell every channel. Whatever goes wrong is logged, without the channel's address."""
        if self._urls_file is None:
            return
        try:
            told = await asyncio.wait_for(asyncio.to_thread(_tell, self._urls_file, notice), PATIENCE_SECONDS)
        except TimeoutError:
            activity.logger.warning("a chat channel did not answer within %.0f s: %s", PATIENCE_SECONDS, notice.subject)
        except OSError as wrong:
            activity.logger.warning("cannot read the chat channels from %s: %s", self._urls_file, wrong.strerror)
        except Exception as wrong:  # plug-ins raise what they like
            activity.logger.warning("a chat channel failed (%s): %s", type(wrong).__name__, notice.subject)
        else:
            if not told:
                activity.logger.warning("not every chat channel took this: %s", notice.subject)


def _tell(urls_file: Path, notice: Notice) -> bool:
    """Whether every channel took it; true where there is none."""
    lines = (line.strip() for line in urls_file.read_text(encoding="utf-8").splitlines())
    urls = [line for line in lines if line and not line.startswith("#")]
    channels = apprise.Apprise()
    added = [channels.add(url) for url in urls]
    understood = all(added)
    if not len(channels):
        return understood
    sent = channels.notify(title=notice.subject, body=notice.body, body_format=apprise.NotifyFormat.TEXT, interpret_escapes=False)
    return understood and bool(sent)
