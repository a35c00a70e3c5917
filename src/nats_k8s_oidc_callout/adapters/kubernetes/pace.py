"""How long things may take between the API server and a reflector."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take, in seconds. Tests shorten it."""

    silence: float = 90.0
    """Longest time without a byte. Bookmarks come about every minute, so more than that may be a dead connection.

    Or a quiet cluster: kube-apiserver sends no bookmark that is older than the list it gave us, and its own version
    stands still while no ServiceAccount changes (cache_watcher.go of 1.37, and measured: none in 90 s). Going on from
    the same version costs one request, so nobody needs to know which of the two it was.
    """
    watch_least: float = 300.0
    watch_most: float = 600.0
    """The server ends each watch at a random time between these, so that replicas do not come back together."""
    page: float = 30.0
    short: float = 1.0
    """A watch that ends sooner without news is a server that closes at once, however politely."""
    backoff_first: float = 0.2
    backoff_most: float = 5.0
    healthy: float = 10.0
    """A watch that lasted so long makes the next failure the first one again."""
    whole_least: float = 2400.0
    whole_most: float = 2900.0
    """The first watch to begin so long after a whole list is preceded by another, at random between the two.

    With the length of a watch that is within the hour, and replicas do not come together.
    """
    incomparable: float = 30.0
    """Where versions cannot be compared a whole list comes at most so often, for it may have 100 pages.

    With `silence` it is still seen within two minutes that a history went back.
    """
