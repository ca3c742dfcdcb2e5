"""What kind of trouble an activity was in: some passes by itself, some is for people."""

from temporalio.exceptions import ActivityError, ApplicationError


def is_for_people(trouble: ActivityError) -> bool:
    """It would be refused however often it were asked again; everything else may pass."""
    return isinstance(trouble.cause, ApplicationError) and trouble.cause.non_retryable


def in_words(trouble: ActivityError) -> str:
    """What went wrong, without the name of its class."""
    return trouble.cause.message if isinstance(trouble.cause, ApplicationError) else str(trouble.cause)
