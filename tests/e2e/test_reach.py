"""What core/grants/reach.py says of subscriptions, asked of a real server."""

import asyncio
import itertools
import json
import random

from nats_k8s_oidc_callout.core.grants.reach import server_takes
from tests.fakes.nats_world import NatsServer

_DICE = random.Random(7)
_SUBSCRIPTIONS = [
    ".".join((*head, last)) for n in range(3) for head in itertools.product("ab*", repeat=n) for last in (*"ab*", ">")
]


def _drawn() -> str:
    return ".".join([*(_DICE.choice("ab**") for _ in range(_DICE.randint(0, 2))), _DICE.choice("ab**>")])


_USERS = [
    ([_drawn() for _ in range(_DICE.randint(1, 3))], [_drawn() for _ in range(_DICE.randint(0, 2))]) for _ in range(60)
]


def _configuration() -> str:
    users = [
        {"user": f"u{number}", "password": "p", "permissions": {"subscribe": {"allow": allow, "deny": deny}}}
        for number, (allow, deny) in enumerate(_USERS)
    ]
    return f"authorization: {json.dumps({'users': users})}\n"


async def _taken(port: int, user: str) -> list[str]:
    """Return the subscriptions that the server takes from this user."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    options = {"verbose": True, "pedantic": False, "user": user, "pass": "p", "lang": "test", "version": "0"}
    lines = [f"CONNECT {json.dumps(options)}", *(f"SUB {each} {n}" for n, each in enumerate(_SUBSCRIPTIONS))]
    writer.write("".join(f"{line}\r\n" for line in lines).encode())
    answers = [await reader.readline() for _ in lines]
    writer.close()
    await writer.wait_closed()
    assert {b"+OK"} == {answers[0].strip()}
    return [each for each, answer in zip(_SUBSCRIPTIONS, answers[1:], strict=True) if answer.startswith(b"+OK")]


async def test_a_real_server_takes_the_same_subscriptions() -> None:
    """Sixty users with random allows and denials try every pattern of up to three tokens."""
    with NatsServer(_configuration()) as server:
        for number, (allow, deny) in enumerate(_USERS):
            expected = [each for each in _SUBSCRIPTIONS if server_takes(each, allow) and not server_takes(each, deny)]
            assert expected == await _taken(server.port, f"u{number}"), (allow, deny)
