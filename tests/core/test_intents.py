"""JetStream intents: their grammar, the entries that each comes to, and what a ceiling lets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.grants import filter as reach
from nats_k8s_oidc_callout.core.grants import intents
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants, Side
from nats_k8s_oidc_callout.core.grants.intents import Intent
from nats_k8s_oidc_callout.core.nats import subjects
from tests.core.overlap import overlap

ACCOUNT = ["$JS.API.INFO", "$JS.API.STREAM.NAMES"]
KV_READ = ["$JS.API.STREAM.INFO.KV_B", "$JS.API.STREAM.MSG.GET.KV_B"]
KV_READ += ["$JS.API.DIRECT.GET.KV_B", "$JS.API.DIRECT.GET.KV_B.$KV.B.>"]


def consuming(stream: str) -> list[str]:
    """Return what all need who make consumers."""
    verbs = (
        "STREAM.INFO.{}",
        "CONSUMER.INFO.{}.*",
        "CONSUMER.CREATE.{}",
        "CONSUMER.CREATE.{}.>",
        "CONSUMER.DELETE.{}.*",
    )
    return [*(f"$JS.API.{verb.format(stream)}" for verb in verbs), f"$JS.FC.{stream}.>"]


OBJECT_READ = [*ACCOUNT, *consuming("OBJ_B"), "$JS.API.STREAM.MSG.GET.OBJ_B", "$JS.API.DIRECT.GET.OBJ_B.$O.B.>"]
BOUND = ["$JS.API.CONSUMER.INFO.S.C", "$JS.API.CONSUMER.MSG.NEXT.S.C", "$JS.ACK.S.C.>", "$JS.FC.S.C.>"]
CONSUME = [*ACCOUNT, *consuming("S"), "$JS.API.CONSUMER.DURABLE.CREATE.S.*", "$JS.API.CONSUMER.MSG.NEXT.S.*"]
CONSUME += ["$JS.ACK.S.>"]
ENTRIES = {
    "consume:S": CONSUME,
    "consume:S/C": BOUND,
    "consume:S/C/a.*.b": [*BOUND, "$JS.API.CONSUMER.CREATE.S.C.a.*.b"],
    "consume:S/C/a/b": [*BOUND, "$JS.API.CONSUMER.CREATE.S.C.a/b"],
    "publish:orders.{x}.>": ["orders.{x}.>"],
    "kv-read:B": ["$JS.API.INFO", *KV_READ],
    "kv-write:B": ["$JS.API.INFO", *KV_READ, "$KV.B.>"],
    "kv-watch:B": ["$JS.API.INFO", *consuming("KV_B")],
    "object-read:B": OBJECT_READ,
    "object-write:B": [*OBJECT_READ, "$O.B.>", "$JS.API.STREAM.PURGE.OBJ_B"],
    "stream-info:S": [
        *("$JS.API.STREAM.INFO.S", "$JS.API.CONSUMER.NAMES.S", "$JS.API.CONSUMER.LIST.S", "$JS.API.CONSUMER.INFO.S.*"),
    ],
    "lookup": ACCOUNT,
}

names = st.from_regex(r"\A[A-Za-z0-9_-]{1,8}\Z").filter("_".__ne__)
texts = st.one_of(
    *(names.map(f"{verb}:{{}}".format) for verb in ("consume", "stream-info", "kv-read", "kv-write", "kv-watch")),
    *(names.map(f"{verb}:{{}}".format) for verb in ("object-read", "object-write")),
    st.tuples(names, names, st.sampled_from(["", "/a", "/a.*", "/>", "/$KV.B.x"])).map(
        "consume:{0[0]}/{0[1]}{0[2]}".format
    ),
    st.just("lookup"),
)


def parsed(text: str) -> Intent:
    intent = intents.parse(text)
    assert isinstance(intent, Intent), (text, intent)
    return intent


@pytest.mark.parametrize("text", ENTRIES)
def test_entries(text: str) -> None:
    """Each intent comes to exactly these entries, each once."""
    assert sorted(ENTRIES[text]) == sorted(intents.entries(parsed(text)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has none of the verbs consume, "),
        ("...", "has none of the verbs consume, "),
        ("Consume:S", "has none of the verbs consume, "),
        ("*:S", "has none of the verbs consume, "),
        ("consume", "names no stream or bucket: "),
        ("consume:", "names no stream or bucket: "),
        ("consume:a.b", "names no stream or bucket: "),
        ("consume:a*", "names no stream or bucket: "),
        ("consume: S", "names no stream or bucket: "),
        ("consume:_", "names no stream or bucket: "),
        ("kv-read:ü", "names no stream or bucket: "),
        ("kv-read:B/C", "has a consumer, which only consume may have"),
        ("consume:S/", "names no consumer: "),
        ("consume:S//a", "names no consumer: "),
        ("consume:S/*", "names no consumer: "),
        ("consume:S/C.D", "names no consumer: "),
        ("consume:S/C/", "has a filter that is empty"),
        ("consume:S/C/a..b", "has a filter that has an empty token"),
        ("consume:S/C/a.>.b", "has a filter that has > before its last token"),
        ("lookup:", "stands alone: lookup"),
        ("lookup:S", "stands alone: lookup"),
        ("publish:", "has a subject that is empty"),
        ("publish:a b", "has a subject that has a character that is not printable ASCII, or a space"),
        (f"publish:{'x' * 256}", "is longer than 256 characters"),
        (f"kv-read:{'x' * 120}", "needs entries of more than 256 characters"),
    ],
)
def test_what_is_no_intent(text: str, why: str) -> None:
    """What is not written as the grammar says is told why, and is nothing."""
    problem = intents.parse(text)

    assert isinstance(problem, str)
    assert problem.startswith(why)


@given(texts)
def test_the_filter_of_entries_lets_every_intent_through(text: str) -> None:
    """
    What an intent comes to is never more than a tenant may write entry by entry, with JETSTREAM_GRANTS=data; and each
    entry is a subject.
    """
    for entry in intents.entries(parsed(text)):
        assert not subjects.problem(entry)
        assert not reach.trespass(entry, Side.PUBLISH, JetStreamGrants.DATA), entry


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("consume:S", ["$JS.ACK.*.*.S.*.*.*.*.*.>", "$JS.FC.*.*.S.>"]),
        ("consume:S/C", ["$JS.ACK.*.*.S.C.*.*.*.*.>", "$JS.FC.*.*.S.C.>"]),
        ("consume:55", []),
        ("kv-read:S", []),
    ],
)
def test_acknowledgements_of_the_second_form(monkeypatch: pytest.MonkeyPatch, text: str, more: list[str]) -> None:
    """
    They are not covered until the constant is turned; then by entries that no acknowledgement of the first form for
    another stream meets, and that the filter lets through.
    """
    before = intents.entries(parsed(text))
    monkeypatch.setattr(intents, "ACKS_V2", True)

    assert (*before, *more) == intents.entries(parsed(text))
    assert not any(overlap(entry, "$JS.ACK.OTHER.C.S.1.1.0.0") for entry in more)
    assert ["", ""][: len(more)] == [reach.trespass(entry, Side.PUBLISH, JetStreamGrants.DATA) for entry in more]


@pytest.mark.parametrize("text", ["lookup", "consume:*", "kv-write:shop_*", "consume:*_S/C/>", "publish:shop.>"])
def test_a_ceiling(text: str) -> None:
    """A ceiling is an intent that may have `*` in the name of the stream or bucket."""
    assert "" == intents.problem_of_ceiling(text)


@pytest.mark.parametrize(
    "text", ["*", "*:S", "kv-*:B", "consume:S/*", "consume:{x}_S", "consume:a?", "publish:>.a", "_"]
)
def test_no_ceiling(text: str) -> None:
    """A verb is never a glob, nor is a consumer; a glob has no sign but `*`."""
    assert intents.problem_of_ceiling(text)


CEILINGS = [
    ("consume:S", ["consume:S"], True),
    ("consume:S", ["lookup", "kv-read:S", "publish:S", "stream-info:S"], False),
    ("consume:S", ["consume:s", "consume:SS", "consume:S_*"], False),
    ("consume:shop_a", ["consume:T", "consume:shop_*"], True),
    ("consume:S", ["consume:S/C", "consume:*/C", "consume:S/C/>"], False),
    ("consume:S/C", ["consume:S"], True),
    ("consume:S/C/a.b", ["consume:*"], True),
    ("consume:S/C", ["consume:S/C"], True),
    ("consume:S/C", ["consume:S/D", "consume:T/C"], False),
    ("consume:S/C/a", ["consume:S/C"], False),
    ("consume:S/C", ["consume:S/C/a"], True),
    ("consume:S/C/a.b", ["consume:S/C/a.>"], True),
    ("consume:S/C/a.b", ["consume:S*/C/*.b"], True),
    ("consume:S/C/a.>", ["consume:S/C/a.*"], False),
    ("consume:S/C/a.b", ["consume:S/D/>"], False),
    ("stream-info:S", ["consume:*"], False),
    ("lookup", ["lookup"], True),
    ("lookup", ["consume:*", "publish:lookup"], False),
    ("kv-read:B", ["kv-write:B"], True),
    ("kv-write:B", ["kv-read:B", "kv-watch:B"], False),
    ("kv-watch:B", ["kv-write:*", "consume:*"], False),
    ("object-read:B", ["object-write:*"], True),
    ("object-write:B", ["object-read:*"], False),
    ("consume:KV_B", ["consume:*", "consume:K*", "consume:*_B", "kv-watch:B"], False),
    ("consume:KV_B", ["consume:KV_*"], True),
    ("consume:KV_B", ["consume:KV_B"], True),
    ("stream-info:OBJ_B", ["stream-info:*", "stream-info:KV_*"], False),
    ("stream-info:OBJ_B", ["stream-info:OBJ_B*"], True),
    ("kv-read:KV_B", ["kv-read:*"], True),
    ("publish:a.b", ["publish:c", "publish:a.*"], True),
    ("publish:a.>", ["publish:a.*", "publish:a.*.>"], True),
    ("publish:a.>", ["publish:a.b.>"], False),
    ("publish:$KV.B.>", ["publish:>", "publish:*.>", "kv-write:B"], False),
    ("publish:$KV.B.a", ["publish:$KV.B.>"], True),
    ("publish:_x.a", ["publish:>", "publish:_y.>"], False),
    ("publish:_x.a", ["publish:_x.>"], True),
    ("publish:a", [], False),
    ("consume:S", [], False),
]


@pytest.mark.parametrize(("text", "ceilings", "admitted"), CEILINGS)
def test_what_lies_inside_a_ceiling(text: str, ceilings: list[str], admitted: bool) -> None:
    """
    A ceiling covers its own verb, and what writes covers what reads; a glob covers buckets' streams only where it spells
    their prefix; a consumer or a filter covers itself; subjects are covered by all of them together, and what starts
    with `$` or `_` only by what names it.
    """
    assert [""] * len(ceilings) == [intents.problem_of_ceiling(ceiling) for ceiling in ceilings]
    assert admitted == intents.admitted(parsed(text), ceilings)


@given(texts)
def test_every_intent_is_its_own_ceiling(text: str) -> None:
    """What a platform names literally, a tenant may ask for."""
    assert intents.admitted(parsed(text), [text])


@given(texts, texts)
def test_a_literal_ceiling_admits_nothing_that_it_does_not_grant(text: str, ceiling: str) -> None:
    """What lies inside a ceiling without a glob can publish nothing that the ceiling itself could not, as an intent."""
    if intents.admitted(parsed(text), [ceiling]):
        for entry in intents.entries(parsed(text)):
            assert subjects.covered(entry, intents.entries(parsed(ceiling))), entry
