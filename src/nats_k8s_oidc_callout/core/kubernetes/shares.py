"""What each namespace's annotations weigh in the index, and whose do not count while there is no room for them.

Tenants choose the weight. When all together are too heavy the heaviest namespace pays, and no other one.
"""

# A namespace comes back once it fits with some room to spare, or it would be in and out with each small change.
_ROOM_TO_SPARE = 7 / 8


class Shares:
    """Weights by namespace, in bytes: of those that are held, and of those that only would be."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._left_out: dict[str, int] = {}
        self.weight = 0
        """Of all that is held."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """The namespaces whose annotations do not count at present."""
        return tuple(self._left_out)

    def is_left_out(self, namespace: str) -> bool:
        return namespace in self._left_out

    def change(self, namespace: str, by: int) -> None:
        """Note that the annotations of a namespace weigh so much more, or less."""
        weights = self._left_out
        if namespace not in weights:
            weights = self._held
            self.weight += by
        weight = weights.get(namespace, 0) + by
        if weight > 0:
            weights[namespace] = weight
        else:
            weights.pop(namespace, None)

    def leave_out_heaviest(self) -> str:
        """Leave out the heaviest of those that are held, and return its name."""
        heaviest = max(self._held, key=self._held.__getitem__)
        weight = self._held.pop(heaviest)
        self.weight -= weight
        self._left_out[heaviest] = weight
        return heaviest

    def let_in(self, room: int) -> list[str]:
        """Return the left out that fit into `room` bytes now, the lightest first; they count as empty until put again."""
        back = []
        free = room * _ROOM_TO_SPARE - self.weight
        for namespace in sorted(self._left_out, key=self._left_out.__getitem__):
            free -= self._left_out[namespace]
            if free < 0:
                break
            del self._left_out[namespace]
            back.append(namespace)
        return back
