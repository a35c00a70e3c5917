"""What each namespace's annotations weigh in the index, and whose are ignored while there is no room for them.

Tenants choose the weight. When all together are too heavy the heaviest namespace pays, and no other one.
"""

# A namespace comes back once it fits with some room to spare, or it would be in and out with each small change.
_ROOM_TO_SPARE = 7 / 8


class Shares:
    """Weights by namespace, in bytes: of those that are held, and of those that only would be."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._ignored: dict[str, int] = {}
        self.weight = 0
        """Of all that is held."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """The namespaces whose annotations are ignored at present."""
        return tuple(self._ignored)

    def is_ignored(self, namespace: str) -> bool:
        return namespace in self._ignored

    def change(self, namespace: str, by: int) -> None:
        """Note that the annotations of a namespace weigh so much more, or less."""
        weights = self._ignored
        if namespace not in weights:
            weights = self._held
            self.weight += by
        weight = weights.get(namespace, 0) + by
        if weight > 0:
            weights[namespace] = weight
        else:
            weights.pop(namespace, None)

    def ignore_heaviest(self) -> str:
        """Ignore the heaviest of those that are held, and return its name."""
        heaviest = max(self._held, key=self._held.__getitem__)
        weight = self._held.pop(heaviest)
        self.weight -= weight
        self._ignored[heaviest] = weight
        return heaviest

    def let_in(self, room: int) -> list[str]:
        """Return the ignored that fit into `room` bytes now, the lightest first; they count as empty until put again."""
        back = []
        free = room * _ROOM_TO_SPARE - self.weight
        for namespace in sorted(self._ignored, key=self._ignored.__getitem__):
            free -= self._ignored[namespace]
            if free < 0:
                break
            del self._ignored[namespace]
            back.append(namespace)
        return back
