"""Each need is fetched where it can be, and what is counted."""

from types import SimpleNamespace
from typing import Any

import pytest

from nats_k8s_oidc_callout.app.needs import Needs
from nats_k8s_oidc_callout.core.kubernetes.namespaces import Read
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.core.model import Need, NeedKeys, NeedNamespace, NeedServiceAccount, Workload

ACCOUNT = ServiceAccount("uid", None)
LABELS = Read.of({"team": "a"}, ("team",))


@pytest.mark.parametrize(
    ("need", "answer", "told", "may_come"),
    [
        pytest.param(NeedKeys("kid"), None, ["keys 1.0"], False, id="keys"),
        pytest.param(NeedNamespace(Workload("a", "b", "uid")), LABELS, ["labels a/b 1.0"], True, id="labels"),
        pytest.param(NeedServiceAccount(Workload("a", "b", "uid")), ACCOUNT, ["miss", "a/b 1.0"], True, id="account"),
    ],
)
async def test_a_need_is_fetched(need: Need, answer: object, told: list[str], may_come: bool) -> None:
    """
    A key is asked of the issuer, which says whether that can help; what the watch lacks of the
    cluster, and a ServiceAccount is a cache miss.
    """
    heard: list[str] = []

    async def refresh(budget: float) -> None:
        heard.append(f"keys {budget}")

    async def look_up(workload: Workload, budget: float) -> ServiceAccount:
        heard.append(f"{workload} {budget}")
        return ACCOUNT

    keys: Any = SimpleNamespace(refresh=refresh, may_come=lambda: False)

    async def labels_of(workload: Workload, budget: float) -> Read:
        heard.append(f"labels {workload} {budget}")
        return LABELS

    workloads: Any = SimpleNamespace(look_up=look_up)
    labels: Any = SimpleNamespace(look_up=labels_of)
    needs = Needs(keys, workloads, labels, lambda: heard.append("miss"))

    assert (answer, may_come) == (await needs.fetch(need, 1.0), needs.may_come(need))
    assert told == heard
