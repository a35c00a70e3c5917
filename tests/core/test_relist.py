"""A whole list, whatever it is taken into."""

from collections.abc import Collection

from nats_k8s_oidc_callout.core.kubernetes.relist import STEP_ITEMS, Relist
from nats_k8s_oidc_callout.core.kubernetes.wire import NAMESPACES, NamespaceMeta
from tests.fakes.namespaces import item, page


class Names:
    """An index that holds nothing but names, and of those none that begins with a `t`."""

    kind = NAMESPACES

    def __init__(self) -> None:
        self.skipped = 0
        self.held: set[str] = {"a", "b", "t"}

    def listed(self, meta: NamespaceMeta) -> str:
        self.held |= {meta.name} - {"t"}
        return "" if meta.name == "t" else meta.name

    def remove(self, keys: Collection[str]) -> None:
        self.held -= set(keys)


def test_what_no_page_had_goes_once_all_are_in() -> None:
    """
    What is not listed goes with the last page, and so does what the index does not want to hold; the rest is counted.
    """
    index = Names()
    relist = Relist(index, {"a", "b", "t"})
    relist.page(page(item("a"), None))
    relist.page(page(item("t"), item("new")))

    assert {"a", "b", "t", "new"} == index.held
    assert (2, {"a", "new"}, 1) == (relist.commit(), index.held, index.skipped)
    assert 0 == relist.commit()


def test_a_page_is_taken_in_step_by_step() -> None:
    """No step has more than so many items, whatever they are, and what the page says of the list is known before the first."""
    index = Names()
    many = 2 * STEP_ITEMS + 1
    found, steps = Relist(index, set()).steps(page(*(item(f"n{number}") for number in range(many))))

    held = [len(index.held) - 3, *(len(index.held) - 3 for _ in steps)]

    assert "9" == found.resource_version
    assert ([0, STEP_ITEMS, 2 * STEP_ITEMS], many) == (held, len(index.held) - 3)
