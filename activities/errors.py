"""One error tree, sorted by what to do: try again, a person must act, our bug.

The text says what happened, to what, and what to do next.
"""

from datetime import timedelta

from temporalio.exceptions import ApplicationError


class TryAgain(ApplicationError):  # noqa: N818  (named by what to do)
    """The moment was bad (a time-out, a lock, a rate limit). Temporal retries; after names how long to wait, where that is known."""

    def __init__(self, text: str, *, after: timedelta | None = None) -> None:
        super().__init__(text, type="TryAgain", next_retry_delay=after)


class NeedsHuman(ApplicationError):  # noqa: N818  (named by what to do)
    """Retrying cannot help: a person must change something first; the text names what. Never retried."""

    def __init__(self, text: str) -> None:
        super().__init__(text, type="NeedsHuman", non_retryable=True)


class OurBug(ApplicationError):  # noqa: N818  (named by what to do)
    """Something that cannot be, was. Never retried; the text is for an issue report."""

    def __init__(self, text: str) -> None:
        super().__init__(text, type="OurBug", non_retryable=True)
