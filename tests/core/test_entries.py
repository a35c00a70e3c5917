"""How much of an annotation is read, and that half an entry is never read for another one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.grants import entries
from nats_k8s_oidc_callout.core.grants.entries import BYTES_MAX, CUT, Reader, cut, split, version_of, weight_of
from nats_k8s_oidc_callout.core.nats import subjects

PUB = "nats.io/allowed-pub-subjects"
SUB = "nats.io/allowed-sub-subjects"
READER = Reader("nats.io/")


def test_only_ours_are_read() -> None:
    """Of all annotations the three that mean something are read, by their full keys."""
    found = READER.read({PUB: "a", "nats.io/jetstream": "b", "helm.sh/chart": "x", "nats.io.evil": "y", "nats.io": "z"})

    assert {PUB: "a", "nats.io/jetstream": "b"} == found
    assert found is not None
    assert () == found.unknown
    assert READER.read({"helm.sh/chart": "x"}) is None


def test_misspelt_keys_are_told_at_most_eight() -> None:
    """Keys under the prefix that mean nothing are kept to be told: eight, cut, and never their texts."""
    found = READER.read({f"nats.io/allowed-{n}" + "x" * 200: "y" * 1000 for n in range(20)})

    assert found is not None
    assert {} == found
    assert 8 == len(found.unknown)
    assert 80 == max(map(len, found.unknown))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a" * BYTES_MAX, "a" * BYTES_MAX, id="just fits"),
        pytest.param("a.b.>," * 13_000, "a.b.>," * 12_287 + CUT, id="between entries"),
        pytest.param("a.>," + "b" * BYTES_MAX, f"a.>,{CUT}", id="within the second entry"),
        pytest.param("a.>\n" + "b" * BYTES_MAX, f"a.>\n{CUT}", id="lines"),
        pytest.param("a" * (BYTES_MAX + 1), CUT, id="one entry that never ends"),
        pytest.param("," + "ü" * BYTES_MAX, f",{CUT}", id="two bytes a character"),
        pytest.param("ü" * (BYTES_MAX // 2), "ü" * (BYTES_MAX // 2), id="two bytes a character, just fits"),
    ],
)
def test_texts_are_cut_between_entries(text: str, expected: str) -> None:
    """
    A text is cut at 72 KiB of UTF-8, at the end of an entry, and ends in a mark then; what was cut once stays as it is.
    """
    assert expected == cut(text)
    assert expected == cut(cut(text))
    assert len(cut(text).encode()) <= BYTES_MAX


@given(padding=st.integers(0, 40), tail=st.text(st.sampled_from("a.>*,\nü"), max_size=40))
def test_no_cut_makes_an_entry_of_its_own(padding: int, tail: str) -> None:
    """Wherever the cut falls, what is read are entries that the tenant wrote, and the mark."""
    text = "b," * (BYTES_MAX // 2 - 20) + "c" * padding + tail + "," + "d" * 50

    assert set(split(text)) <= {entry.strip() for entry in text.replace("\n", ",").split(",")} | {CUT}


def test_the_mark_is_no_subject() -> None:
    """Whoever reads entries by the grammar of subjects refuses the mark of a cut."""
    assert subjects.problem(CUT)


def test_entries_come_once_in_order() -> None:
    """Commas and line ends separate; spaces around, empty ones and repetitions go."""
    assert ["a", "b c", "d"] == split(" a ,,b c\n\n a,d, ")


def test_digest_tells_every_change() -> None:
    """
    Other texts, another key, another cut of the same characters, another misspelt key: another digest. Else the same.
    """
    versions = [
        version_of(READER.read(annotations))
        for annotations in (
            {PUB: "ab", SUB: "c"}, {PUB: "a", SUB: "bc"}, {SUB: "ab"}, {PUB: "ab"}, {PUB: "ab", "nats.io/x": ""}, None,
        )
    ]  # fmt: skip

    assert len(set(versions)) == len(versions)
    assert version_of(READER.read({SUB: "c", PUB: "ab", "x": "y"})) == versions[0]
    assert version_of({PUB: "ab", SUB: "c"}) == versions[0]


def test_weight_is_what_memory_takes() -> None:
    """One emoji makes every character of a text four bytes long, and that counts."""
    plain, wide = (READER.read({PUB: "a" * 10_000 + end}) for end in ("a", "😀"))

    assert 10_000 < weight_of(plain) < 11_000
    assert 40_000 < weight_of(wide) < 41_000
    assert weight_of(plain) == weight_of({PUB: "a" * 10_001})
    assert 0 == weight_of(None)


def test_keys_are_one_object() -> None:
    """All entries share their keys, so that 50,000 of them do not hold each its own."""
    one, other = ([*(READER.read({f"nats.io/{name}": "x"}) or ())] for name in ("jetstream", "JETSTREAM".lower()))

    assert one[0] is other[0]
    assert entries.NAMES == ("allowed-pub-subjects", "allowed-sub-subjects", "jetstream")
