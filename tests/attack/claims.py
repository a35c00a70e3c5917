"""Tokens that the issuer really signed, whose claims are wrong, foreign or confusing: rows 22 to 39 of the checklist."""

import time
from collections.abc import Mapping

from tests.attack.tokens import (
    ABSENT,
    AUDIENCE,
    CLAIMS,
    ISSUER,
    Make,
    claim,
    from_now,
    json_claim,
    kubernetes,
    named,
)
from tests.e2e.worlds import uid_of
from tests.fakes.issuer import AUDIENCE as OURS
from tests.fakes.issuer import ISSUER as US

_NOW = int(time.time())
_SUB = "system:serviceaccount:team-a:orders"

TIMES: Mapping[str, tuple[str, Make]] = {
    "exp-missing": (CLAIMS, claim(exp=ABSENT)),  # 23
    "exp-text": (CLAIMS, claim(exp=str(_NOW + 3600))),
    "exp-float": (CLAIMS, claim(exp=_NOW + 3600.5)),
    "exp-whole-float": (CLAIMS, json_claim('"exp":', '"exp":1e10,"was":')),
    "exp-negative": (CLAIMS, claim(exp=-1)),
    "exp-1e300": (CLAIMS, json_claim('"exp":', '"exp":1e300,"was":')),
    "exp-2^63": (CLAIMS, claim(exp=1 << 63)),
    "exp-2^53+1": (CLAIMS, claim(exp=(1 << 53) + 1)),
    "exp-true": (CLAIMS, claim(exp=True)),
    "exp-null": (CLAIMS, claim(exp=None)),
    "exp-zero": ("expired", claim(exp=0)),
    "expired-1-second-ago": ("expired", claim(exp=from_now(-1))),  # 24
    "expired-this-second": ("expired", claim(exp=from_now(0))),
    "nbf-beyond-the-skew": ("not_yet_valid", claim(nbf=from_now(60))),  # 25
    "nbf-missing": (CLAIMS, claim(nbf=ABSENT)),
    "iat-beyond-the-skew": ("not_yet_valid", claim(iat=from_now(60))),  # 26
    "iat-missing": (CLAIMS, claim(iat=ABSENT)),
    "iat-after-exp": (CLAIMS, claim(iat=from_now(20), exp=from_now(10))),
    "lifetime-of-a-year": ("lifetime_too_long", claim(exp=from_now(31_536_000))),  # 27
    "lifetime-to-2286": ("lifetime_too_long", claim(exp=9_999_999_999)),
    "issued-in-1970": ("lifetime_too_long", claim(iat=0)),
    "past-its-warnafter": ("expired", kubernetes(warnafter=from_now(-1))),
    "warnafter-text": (CLAIMS, kubernetes(warnafter="soon")),
}

ISSUERS: Mapping[str, tuple[str, Make]] = {
    "iss-with-slash": (ISSUER, claim(iss=f"{US}/")),  # 28
    "iss-upper-case": (ISSUER, claim(iss=US.upper())),
    "iss-prefix": (ISSUER, claim(iss=US[:-1])),
    "iss-longer": (ISSUER, claim(iss=f"{US}.evil.example")),
    "iss-list": (CLAIMS, claim(iss=[US])),
    "iss-missing": (ISSUER, claim(iss=ABSENT)),
    "iss-another-cluster": (ISSUER, claim(iss="https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789")),
    "iss-with-space": (ISSUER, claim(iss=f"{US} ")),
    "iss-full-width": (ISSUER, claim(iss=US.replace("k", "\uff4b", 1))),
    "iss-twice-the-last-is-theirs": (ISSUER, json_claim('"jti":', '"iss":"https://evil.example","jti":')),
    "aud-missing": (AUDIENCE, claim(aud=ABSENT)),  # 29
    "aud-empty": (AUDIENCE, claim(aud=[])),
    "aud-empty-text": (AUDIENCE, claim(aud="")),
    "aud-object": (CLAIMS, claim(aud={OURS: True})),
    "aud-number": (CLAIMS, claim(aud=1)),
    "aud-nested": (CLAIMS, claim(aud=[[OURS]])),
    "aud-null": (CLAIMS, claim(aud=None)),
    "aud-other": (AUDIENCE, claim(aud=["https://kubernetes.default.svc"])),
    "aud-upper-case": (AUDIENCE, claim(aud=[OURS.upper()])),
    "aud-longer": (AUDIENCE, claim(aud=[f"{OURS}-admin"])),
    "aud-as-one-text-of-two": (AUDIENCE, claim(aud=f"{OURS} other")),
    "aud-full-width": (AUDIENCE, claim(aud=["\uff4e\uff41\uff54\uff53"])),
    "aud-twice-the-last-is-theirs": (AUDIENCE, json_claim('"exp":', '"aud":["vault"],"exp":')),
}

NAMES: Mapping[str, tuple[str, Make]] = {
    "legacy-secret-token": (ISSUER, claim(**{  # 31
        "iss": "kubernetes/serviceaccount", "kubernetes.io": ABSENT, "aud": ABSENT, "exp": ABSENT, "iat": ABSENT,
        "nbf": ABSENT, "kubernetes.io/serviceaccount/namespace": "team-a",
    })),
    "kubernetes-missing": (CLAIMS, claim(**{"kubernetes.io": ABSENT})),  # 32
    "kubernetes-text": (CLAIMS, claim(**{"kubernetes.io": "team-a"})),
    "kubernetes-list": (CLAIMS, claim(**{"kubernetes.io": []})),
    "kubernetes-null": (CLAIMS, claim(**{"kubernetes.io": None})),
    "kubernetes-twice-the-last-is-anothers": (CLAIMS, json_claim('"nbf":',
        '"kubernetes.io":{"namespace":"team-b","serviceaccount":{"name":"web","uid":"u"}},"nbf":')),
    "sub-twice-the-last-is-anothers": (CLAIMS, json_claim(f'"sub":"{_SUB}"',
        f'"sub":"{_SUB}","sub":"system:serviceaccount:team-b:web"')),
    "namespace-with-slash": (CLAIMS, named("team-a/x", "orders")),  # 33
    "namespace-with-dot": (CLAIMS, named("team.a", "orders")),
    "namespace-star": (CLAIMS, named("*", "orders")),
    "namespace-greater": (CLAIMS, named(">", "orders")),
    "namespace-sys": (CLAIMS, named("$SYS", "orders")),
    "namespace-space": (CLAIMS, named("team a", "orders")),
    "namespace-upper-case": (CLAIMS, named("Team-A", "orders")),
    "namespace-empty": (CLAIMS, named("", "orders")),
    "namespace-254-characters": (CLAIMS, named("a" * 254, "orders")),
    "namespace-64-characters": (CLAIMS, named("a" * 64, "orders")),
    "namespace-cyrillic": (CLAIMS, named("team-\u0430", "orders")),
    "namespace-full-width": (CLAIMS, named("team\uff0da", "orders")),
    "namespace-long-s": (CLAIMS, named("\u017fecret", "orders")),
    "namespace-with-newline": (CLAIMS, named("team-a\n", "orders")),
    "namespace-with-nul": (CLAIMS, named("team-a\x00", "orders")),
    "namespace-with-underscore": (CLAIMS, named("_INBOX", "orders")),
    "name-star": (CLAIMS, named("team-a", "*")),
    "name-greater": (CLAIMS, named("team-a", ">")),
    "name-with-colon": (CLAIMS, named("team-a", "orders:x")),
    "name-with-slash": (CLAIMS, named("team-a", "../team-b/web")),
    "name-two-dots": (CLAIMS, named("team-a", "a..b")),
    "name-dot-at-the-end": (CLAIMS, named("team-a", "orders.")),
    "name-254-characters": (CLAIMS, named("team-a", "a" * 254)),
    "name-combining": (CLAIMS, named("team-a", "orde\u0301rs")),
    "sub-disagrees": (CLAIMS, claim(sub="system:serviceaccount:team-a:worker")),  # 34
    "sub-missing": (CLAIMS, claim(sub=ABSENT)),
    "sub-user": (CLAIMS, claim(sub="system:admin")),  # 39
    "sub-node": (CLAIMS, claim(sub="system:node:node-1")),
    "sub-anonymous": (CLAIMS, claim(sub="system:anonymous")),
    "sub-five-parts": (CLAIMS, claim(sub=f"{_SUB}:x")),
    "sub-three-parts": (CLAIMS, claim(sub="system:serviceaccount:team-a")),
    "sub-with-newline": (CLAIMS, claim(sub=f"{_SUB}\n")),
    "sub-upper-case": (CLAIMS, claim(sub=_SUB.upper())),
    "uid-missing": (CLAIMS, kubernetes(serviceaccount={"name": "orders"})),  # 35
    "uid-empty": (CLAIMS, kubernetes(serviceaccount={"name": "orders", "uid": ""})),
    "uid-number": (CLAIMS, kubernetes(serviceaccount={"name": "orders", "uid": 7})),
    "uid-of-another": ("uid_mismatch", kubernetes(serviceaccount={"name": "orders", "uid": "uid-of-nobody"})),
    "uid-in-another-case": ("uid_mismatch", kubernetes(
        serviceaccount={"name": "orders", "uid": uid_of("team-a", "orders").upper()})),
    "uid-of-a-sibling": ("uid_mismatch", kubernetes(
        serviceaccount={"name": "orders", "uid": uid_of("team-a", "worker")})),
    "account-that-is-not-there": ("unknown_service_account", named("team-a", "nobody")),
    "namespace-that-is-not-there": ("unknown_service_account", named("team-z", "orders")),
}  # fmt: skip
