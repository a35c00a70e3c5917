"""explain, as an application team asks it."""

import pytest

from tests.cli.desk import HOSTILE, SPELLED, Desk
from tests.settings.whole import token as foreign


@pytest.mark.parametrize(
    ("content", "refusal", "stripped"),
    [
        pytest.param("{}\n", "malformed_token (ends in a line feed: ", "it would be let in", id="line feed"),
        pytest.param("{} ", "malformed_token (ends in white space: ", "it would be let in", id="space"),
        pytest.param("{}\r\n", "malformed_token (ends in a line feed: ", "it would be let in", id="dos"),
        pytest.param("{}=", "malformed_token (ends in =: ", "it would be let in", id="padding"),
        pytest.param("x{}\n", "malformed_token (ends in a line feed: ", "it would be refused as malformed", id="both"),
        pytest.param("\n{}", "malformed_token (header is not base64url: it begins with", "let in", id="before"),
        pytest.param("Bearer {}", "malformed_token (header is not base64url: it begins with Bearer", "", id="bearer"),
        pytest.param("/var/run/token", "malformed_token (not three parts: it looks like the path", "", id="path"),
        pytest.param("", "no_token (the file is empty)", "", id="empty"),
        pytest.param(" \n", "no_token (the file is empty)", "", id="blank"),
        pytest.param(b"\xff\xfe", "malformed_token (not ASCII)", "", id="no text"),
    ],
)
def test_a_token_is_judged_as_its_file_has_it(desk: Desk, content: str | bytes, refusal: str, stripped: str) -> None:
    """
    What a client would be told that sends the file as it is; and, where that is all that is wrong, what it is worth.
    """
    filled = content if isinstance(content, bytes) else content.replace("{}", desk.token())
    ran = desk.run("explain", "--token-file", desk.file(filled))

    assert 1 == ran.exit_code
    assert ran.output.startswith(f"unknown workload\n  refused    {refusal}")
    assert bool(stripped) == ("stripped" in ran.output)
    assert stripped in ran.output


def test_a_good_token_is_explained(desk: Desk) -> None:
    """A token that its file holds and nothing else is let in."""
    found = desk.report("explain", "--token-file", desk.file(desk.token()))

    assert ("shop/web", True) == (found["workload"], found["allowed"])


def test_a_foreign_token_keeps_its_reason(desk: Desk) -> None:
    """A line feed is told first, and what else is wrong beside it."""
    found = desk.report("explain", "--token-file", desk.file(foreign({})))

    assert ("malformed_token", "malformed_token") == (found["reason"], found["stripped"])


@pytest.mark.parametrize("spelling", ["shop/web", "system:serviceaccount:shop:web"])
def test_a_workload_by_either_name(desk: Desk, spelling: str) -> None:
    """The name that Kubernetes, NATS and our log show is as good as namespace and name."""
    ran = desk.run("explain", spelling)

    assert (0, "shop/web") == (ran.exit_code, ran.output.splitlines()[0])


@pytest.mark.parametrize(
    "spelling", ["web", "shop/", "/web", "shop/web/x", "shop:web", "system:serviceaccount:shop", ""]
)
def test_what_names_no_workload_is_bad_use(desk: Desk, spelling: str) -> None:
    """One clear line, and exit code 2."""
    ran = desk.run("explain", spelling)

    assert 2 == ran.exit_code
    assert "is neither NAMESPACE/NAME nor system:serviceaccount:NAMESPACE:NAME" in ran.stderr


def test_a_last_star_to_subscribe_is_told_as_what_it_is(desk: Desk) -> None:
    """Who may subscribe `a.*` may subscribe `a.>`, so that stands beside it; to publish `a.*` means itself."""
    both = {f"nats.io/allowed-{side}-subjects": "prices.*, *.x, orders.*.new" for side in ("pub", "sub")}
    desk.account("shop", "web", both)

    told = [line for line in desk.run("explain", "shop/web").output.splitlines() if "works as" in line]
    assert ["subscribe prices.* nats.io/allowed-sub-subjects, works as prices.>"] == [" ".join(t.split()) for t in told]
    side = desk.report("explain", "shop/web")["subscribe"]
    assert isinstance(side, list)
    assert ["prices.>"] == [entry["works_as"] for entry in side if "works_as" in entry]


def test_intents_are_told(desk: Desk) -> None:
    """Beside each entry stands the intent that it comes from; one that is left out stands there with the reason."""
    desk.account("shop", "web", {"nats.io/jetstream": "stream-info:ORDERS, consume:*"})

    told = [
        " ".join(line.split()) for line in desk.run("explain", "shop/web").output.splitlines() if "jetstream" in line
    ]
    given = ("STREAM.INFO.ORDERS", "CONSUMER.NAMES.ORDERS", "CONSUMER.LIST.ORDERS", "CONSUMER.INFO.ORDERS.*")
    why = "names no stream or bucket: a name has letters, digits, - and _"
    assert told == [
        *(f"publish $JS.API.{one} nats.io/jetstream stream-info:ORDERS" for one in given),
        f"left out consume:* nats.io/jetstream: {why}",
    ]


def test_a_misspelt_annotation_is_told(desk: Desk) -> None:
    """A key under the prefix that nobody reads is named, spelled out and cut, beside what counts; a null is none."""
    hostile = f"nats.io/{HOSTILE}{'x' * 200}"
    written = {
        "nats.io/allowed-pub-subject": "a",
        hostile: "b",
        "nats.io/null": None,
        "nats.io/allowed-sub-subjects": "c",
    }
    desk.account("shop", "web", written)
    ran, found = desk.run("explain", "shop/web"), desk.report("explain", "shop/web")

    told = [line.split()[1] for line in ran.output.splitlines() if line.startswith("  unknown ")]
    assert sorted([f"nats.io/{SPELLED}{'x' * (72 - len(HOSTILE))}", "nats.io/allowed-pub-subject"]) == sorted(told)
    assert isinstance(found["unknown"], list)
    assert {hostile[:80], "nats.io/allowed-pub-subject"} == {one["annotation"] for one in found["unknown"]}
    assert [] == found["refused"]
    assert "nats.io/allowed-sub-subjects" in ran.output


ANYWHERE = "by answering itself a workload can publish on every subject of its account"
PREFIX = (
    "the inbox prefix for clients is _INBOX_SA.shop.web; _INBOX_shop_web can be answered only with REPLY_MODE=responses"
)


@pytest.mark.parametrize(
    ("mode", "replies", "publish"),
    [
        ("inbox", "into the inboxes that it may publish to", ["shop.>", "_INBOX.>", "_INBOX_SA.>"]),
        ("responses", "1 within 120 s, wherever the request says", ["shop.>"]),
        ("none", "not allowed", ["shop.>"]),
    ],
)
def test_how_a_workload_may_answer(desk: Desk, mode: str, replies: str, publish: list[str]) -> None:
    """What answers go by is told, what that opens, and which of the private inboxes gets any."""
    ran = desk.run("explain", "shop/web", REPLY_MODE=mode)
    found = desk.report("explain", "shop/web", REPLY_MODE=mode)

    rows = [line.split(maxsplit=1) for line in ran.output.splitlines()[1:]]
    assert [replies] == [row[1] for row in rows if row[0] == "replies"]
    assert publish == [row[1].split()[0] for row in rows if row[0] == "publish"]
    assert PREFIX in ran.output
    assert (mode == "responses") == (ANYWHERE in ran.output)
    assert isinstance(found["replies"], dict)
    assert mode == found["replies"]["mode"]


def test_doctor_knows_what_the_reply_permission_opens(desk: Desk) -> None:
    """So doctor says in its notes."""
    ran = desk.run("doctor", "--notes", REPLY_MODE="responses", NATS_URL="nats://127.0.0.1:1")

    assert "REPLY_MODE: is responses, so a workload can publish on every subject of its account" in " ".join(
        ran.output.split()
    )


def test_help_is_whole(desk: Desk) -> None:
    """At 80 columns no command's line in the list is cut."""
    shown = desk.run("--help").output

    assert "..." not in shown.partition("Commands:")[2]
    assert all(len(text) <= 80 for text in shown.splitlines())
