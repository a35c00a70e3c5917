"""A real API server refuses in an annotation what the filter leaves out, and says why in the same words."""

import json
import random
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from nats_k8s_oidc_callout.core.grants import admission, intents
from nats_k8s_oidc_callout.core.grants.annotations import compile_grant
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants, Side
from tests.core.test_filter import HEARD, PUBLISHED
from tests.e2e.cluster import Cluster, ClusterError
from tests.fakes.rules import TERMS

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

# One policy for each setting, under a prefix of its own: the server is shared with other tests.
PREFIXES = {grants: f"{grants}.admission.example/" for grants in JetStreamGrants}
KEYS = {Side.PUBLISH: "allowed-pub-subjects", Side.SUBSCRIBE: "allowed-sub-subjects"}
INTENTS = "jetstream"
NAMESPACE, NAME = "admission", "x.y"
ACCOUNTS = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
_SECONDS = 20.0


@pytest.fixture(scope="module")
def judge(cluster: Cluster) -> Iterator[Cluster]:
    """The API server, once both policies are in force."""
    objects = [
        each
        for grants, prefix in PREFIXES.items()
        for name in (f"admission-{grants}",)
        for each in (admission.policy(prefix, grants, name), admission.binding([NAMESPACE], name))
    ]
    text = "\n---\n".join(map(json.dumps, objects))
    cluster.kubectl("apply", "--validate=strict", "--warnings-as-errors", "--filename=-", stdin=text)
    cluster.create_namespace(NAMESPACE)
    deadline = time.monotonic() + _SECONDS
    while not all(refusal(cluster, {f"{prefix}allowed-sub-subjects": ">"}) for prefix in PREFIXES.values()):
        assert time.monotonic() < deadline, "the policies are not in force"
        time.sleep(0.1)
    yield cluster
    cluster.kubectl("delete", "--filename=-", stdin=text)


def refusal(cluster: Cluster, annotations: dict[str, str]) -> str:
    """Return what the API server says against a ServiceAccount with these annotations; empty when it takes it."""
    body = {"metadata": {"name": NAME, "annotations": annotations}}
    status, answer = cluster.request("POST", f"{ACCOUNTS}?dryRun=All", body)
    if status == 201:
        return ""
    found = re.fullmatch(r"serviceaccounts \"x.y\" is forbidden: .+ denied request: (.+)", answer["message"], re.DOTALL)
    assert (422, True) == (status, found is not None), answer
    return found[1] if found else ""


def samples() -> Iterator[str]:
    """Yield entries of each kind: what the filter's own tests name, each a bit changed, and letters at random."""
    yield from (*PUBLISHED, *HEARD, "a.b", "a.*.>", "a" * 256, "a" * 257)
    yield from (
        f"_INBOX{rest}.>" for rest in ("", "_SA", "_SA.admission.x_y", "_admission_x_y", "_SA.admission.x.y", "_x")
    )
    yield from ("\u2003a.b\x1f", "ä.b", "a\x7fb", 'a"b', "a'b\\")
    drawn = random.Random(13)
    for entry in (*PUBLISHED, *HEARD):
        tokens = entry.split(".")
        tokens[drawn.randrange(len(tokens))] = drawn.choice(["*", ">", "_", "5", "", "S"])
        yield ".".join(tokens)
        yield drawn.choice([entry.rpartition(".")[0], f"{entry}.x", f"{entry}.*", f"x{entry}"])
    for _ in range(120):
        yield "".join(drawn.choices("ab*>._$ ", k=drawn.randrange(1, 7)))


def differing(judge: Cluster, cases: list[tuple[str, JetStreamGrants, str]]) -> list[tuple[str, ...]]:
    """Return those (annotation, setting, text) of which the API server does not say what a login would leave out."""

    def differs(case: tuple[str, JetStreamGrants, str]) -> tuple[str, ...] | None:
        annotation, grants, text = case
        key = f"{PREFIXES[grants]}{annotation}"
        terms = replace(TERMS, jetstream_grants=grants)
        refused = compile_grant(NAMESPACE, NAME, {key: text}, terms, PREFIXES[grants]).refused
        said = refusal(judge, {key: text})
        # Between these stands the entry, quoted.
        head, tail = f'{key}: "', f'" {refused[0].why if refused else ""}. It would be left out at every login.'
        alike = said.startswith(head) and said.endswith(tail) if refused else not said
        return None if alike else (*case, str(refused), said)

    with ThreadPoolExecutor(4) as threads:
        return [found for found in threads.map(differs, cases) if found]


def test_both_judge_alike(judge: Cluster) -> None:
    """Of each entry, on either side and with either setting, the API server says what is left out at a login."""
    sides = (*((side, JetStreamGrants.DATA) for side in Side), (Side.PUBLISH, JetStreamGrants.ADMIN))
    cases = [(KEYS[side], grants, entry) for entry in dict.fromkeys(samples()) for side, grants in sides]

    assert len(cases) > 700
    assert [] == differing(judge, cases)


def test_both_judge_intents_alike(judge: Cluster) -> None:
    """Of each intent too, be it no intent or one to publish what nobody may ask for."""
    names = ["S", "_", "_S", "a.b", "", "S/C", "S/C/a.>", "S/C/a..b", "S//a", "S/C/", "S/C/" + "a" * 253, "é"]
    texts = [f"{verb}:{name}" for verb in (*intents.VERBS, "kv") for name in names]
    asked = (*PUBLISHED, "$JS.API.>", "_INBOX.>", "_INBOX.x", "*.a", "$SYS", "$JS.ACK.*.*.>")
    texts += [*intents.VERBS, "a", ":", *(f"publish:{subject}" for subject in asked)]

    assert len(texts) > 190
    assert [] == differing(judge, [(INTENTS, JetStreamGrants.DATA, text) for text in texts])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("a\n" * 36_000 + "_a", r"has more than the 256 entries that are read", id="many"),
        pytest.param(",\n " * 24_000 + ",a b", r'"a b" has a character', id="separators"),
        pytest.param(",".join(["$KV.B." + "k" * 250] * 255 + ["_a"]), r'"_a" is reserved', id="long"),
        pytest.param(
            ",".join(["$JS.API.CONSUMER.RESET.S" + ".a" * 116] * 255 + ["$SYS.a"]), r'"\$SYS.a" is a system', id="deep"
        ),
        pytest.param(
            ",".join(["$" + "." * 240] * 256), r'"\$\.{99}\.\.\." has an empty token; and 255 more like it', id="dots"
        ),
        pytest.param("a" * 73_728, r'"a{100}\.\.\." is longer than 256 characters', id="one"),
        pytest.param("a" * 73_729, r"has more than the 72 KiB that are read", id="more"),
        pytest.param("ä" * 40_000, r"has more than the 72 KiB that are read", id="more-bytes"),
        pytest.param(" " * 250_000, r"has more than the 72 KiB that are read", id="spaces"),
    ],
)
def test_the_heaviest_annotations_are_judged(judge: Cluster, text: str, why: str) -> None:
    """No text is too much for what the API server computes at most: then it would let the change pass."""
    prefix = PREFIXES[JetStreamGrants.DATA]
    said = refusal(judge, {f"{prefix}allowed-pub-subjects": text})
    assert re.match(rf"{re.escape(prefix)}allowed-pub-subjects: {why}", said), said


def test_all_annotations_may_be_heavy_at_once(judge: Cluster) -> None:
    """The budget of one policy lasts for everything that it reads, up to the last entry of the last annotation."""
    text = ",".join(["$KV.B." + "k" * 250] * 256)
    wanted = ",".join([f"consume:S/C/{'k' * 200}"] * 128 + ["publish:$KV.B." + "k" * 240] * 127)
    prefix = PREFIXES[JetStreamGrants.DATA]
    heavy = {**{f"{prefix}{key}": text for key in KEYS.values()}, f"{prefix}{INTENTS}": wanted}

    assert "" == refusal(judge, heavy)
    for key, text in heavy.items():
        bad = "publish:_" if key.endswith(INTENTS) else "_"
        assert f'{key}: "_" is reserved' in refusal(judge, {**heavy, key: f"{text.partition(',')[2]},{bad}"})


def test_kubectl_annotate_tells_the_tenant(judge: Cluster) -> None:
    """Whoever annotates reads which entry of which annotation is wrong, and why; other changes are nobody's business."""
    key = f"{PREFIXES[JetStreamGrants.DATA]}allowed-pub-subjects"
    account = (f"--namespace={NAMESPACE}", "serviceaccount", "web")
    judge.create_service_account(NAMESPACE, "web", {"other": "x"})

    with pytest.raises(ClusterError) as told:
        judge.kubectl("annotate", *account, f"{key}=orders.new, $JS.API.STREAM.CREATE.S")

    assert (
        f'{key}: "$JS.API.STREAM.CREATE.S" reaches JetStream beyond the data of one named stream or bucket'
        " (JETSTREAM_GRANTS). It would be left out at every login."
    ) in str(told.value)
    judge.kubectl("annotate", *account, f"{key}=orders.new, $KV.flags.>")


def test_a_name_that_is_made_up_is_judged_too(judge: Cluster) -> None:
    """With `generateName` there may be no name yet, which must not be an error that lets all pass."""
    annotations = {f"{PREFIXES[JetStreamGrants.DATA]}allowed-pub-subjects": "_a"}
    body = {"metadata": {"generateName": "web-", "annotations": annotations}}

    assert 422 == judge.request("POST", f"{ACCOUNTS}?dryRun=All", body)[0]


def test_what_was_there_before_is_not_judged(judge: Cluster) -> None:
    """Only an annotation that the change touches is judged: an old one never stops a label, nor its own removal."""
    key = f"{PREFIXES[JetStreamGrants.ADMIN]}allowed-pub-subjects"
    account = (f"--namespace={NAMESPACE}", "serviceaccount", "old")
    judge.kubectl("delete", "validatingadmissionpolicybinding", "admission-admin")
    deadline = time.monotonic() + _SECONDS
    while refusal(judge, {key: ">"}):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    judge.create_service_account(NAMESPACE, "old", {key: ">"})
    judge.kubectl("apply", "--filename=-", stdin=json.dumps(admission.binding([NAMESPACE], "admission-admin")))
    while not refusal(judge, {key: ">"}):
        assert time.monotonic() < deadline
        time.sleep(0.1)

    judge.kubectl("label", *account, "team=a")
    judge.kubectl("annotate", *account, f"{key.replace('pub', 'sub')}=a.b")
    with pytest.raises(ClusterError, match="starts with a wildcard"):
        judge.kubectl("annotate", "--overwrite", *account, f"{key}=>,a")
    judge.kubectl("annotate", *account, f"{key}-")
