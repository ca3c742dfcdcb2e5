"""git: a pull request's test merge, fetched into a bare cache and read without ever being checked out."""

from activities.git.cache import TokenFor
from activities.git.find import GitActivities

__all__ = ["GitActivities", "TokenFor"]
