"""What short runs of pytest spend most of their time on, done once by the process that they are forks of (tests/mutants.py).

Nothing of ours is imported here: each fork has sources of its own.
"""

from importlib import import_module

from tests.fakes.issuer import issuer_key

for name in (
    "aiohttp.web",
    "anyio.pytest_plugin",
    "hypothesis.strategies",
    "nats",
    "prometheus_client",
    "pytest_asyncio.plugin",
    "structlog",
    "xdist.plugin",
):
    import_module(name)
# RSA keys are slow to make.
for arguments in ((), ("RS256",), ("RS256", 1), ("RS256", 66)):
    issuer_key(*arguments)
