"""Ways to break the product on purpose, so that what claims to notice can be seen to notice."""

import contextlib
import gc
import io
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
PACKAGE = "nats_k8s_oidc_callout"
TIMEOUT_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Mutant:
    """One line of one file, made wrong."""

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...] = ()
    """What of the suite must notice: arguments of pytest, run from the checkout."""

    def apply(self, source: Path) -> None:
        """Break a copy of the sources; a mutant that no longer fits its line must be mended, not skipped."""
        path = source / PACKAGE / self.file
        text = path.read_text()
        if text.count(self.right) != 1:
            raise LookupError(f"mutant {self.name!r} fits {text.count(self.right)} places of {self.file}, not one")
        path.write_text(text.replace(self.right, self.wrong))
        # What Python compiled is told by its source's second and size, which a mutant may share.
        Path(cache_from_source(str(path))).unlink(missing_ok=True)


DEMO_MUTANTS = [
    Mutant("signature not checked", "core/identity/tokens.py", "if not proved:", "if not proved and False:"),
    Mutant("exp not checked", "core/identity/issuers.py", "if now >= proved.exp:", "if now >= proved.exp and False:"),
    Mutant(
        "aud not checked",
        "core/identity/issuers.py",
        "if rules.audience not in audiences:",
        "if rules.audience not in audiences and False:",
    ),
    Mutant(
        "answers anywhere",
        "core/grants/annotations.py",
        "by_reply = terms.reply_mode is ReplyMode.RESPONSES",
        "by_reply = True",
    ),
    Mutant(
        "uid not compared",
        "core/decide.py",
        "return not account.uid or account.uid == workload.uid",
        "return True",
    ),
    Mutant(
        "a side left open",
        "core/nats/user.py",
        "pub=_Side(permissions.publish, permissions.deny_publish) if permissions.publish else _NOTHING,",
        "pub=_Side(),",
    ),
    Mutant(
        "ceilings ignored",
        "core/grants/annotations.py",
        "if why or terms.ceilings is None:",
        "if why or terms.ceilings:",
    ),
    Mutant("one account for all", "core/grants/rules.py", "account=self.account.fill(values)", 'account="APP"'),
    Mutant(
        "deletions end no session",
        "core/sessions/judging.py",
        "if account is None:\n        return Revoke(Reason.DELETED)",
        "if account is None:\n        return KEEP",
    ),
    Mutant(
        "kicks that are none",
        "app/sessions/by_hand.py",
        "await servers.kick(one.row.server, one.row.cid)",
        "Kicked.DONE",
    ),
    Mutant("annotations ignored", "core/grants/annotations.py", 'annotations.get(annotation, "")', '""'),
]


def behaviour(setting: str, test: str) -> tuple[str, ...]:
    """Return one test of the worlds' suite, in one world."""
    file = "test_refusals" if "refused" in test else "test_behaviour"
    return (f"tests/e2e/{file}.py", "-k", f"{setting} and wheel and ({test})")


SUITE_MUTANTS = [
    Mutant(
        "uid ignored",
        "core/decide.py",
        "return not account.uid or account.uid == workload.uid",
        "return True",
        behaviour("config-creds", "test_refused_at_once_with_its_reason and uid"),
    ),
    Mutant(
        "wrong issuer_account",
        "core/nats/signers.py",
        'Signer(self.key, self.account if self.key.public != self.account else "")',
        'Signer(self.key, self.key.public if self.key.public != self.account else "")',
        behaviour("operator-signing", "test_publish_in_own_namespace_reaches_another_pod"),
    ),
    Mutant(
        "session past the token",
        "core/sessions/ending.py",
        "longest = max(0, min(token_ends - 1 - start, max_seconds))",
        "longest = max_seconds",
        behaviour("config-creds", "test_session_ends_with_its_token"),
    ),
    Mutant(
        "permissions of the previous ServiceAccount",
        "core/grants/grants.py",
        "key = namespace, name",
        'key = "", ""',
        behaviour("config-creds", "test_each_workload_has_its_own_subjects"),
    ),
    Mutant(
        "xkey downgrade accepted",
        "core/nats/callout.py",
        "if not clear_allowed:",
        "if not clear_allowed and False:",
        ("tests/core/test_callout.py",),
    ),
    Mutant(
        "jitter later than exp",
        "core/sessions/ending.py",
        "return start + longest - int(longest * _JITTER_SHARE * share)",
        "return start + longest + int(longest * _JITTER_SHARE * share)",
        ("tests/core/test_ending.py",),
    ),
    Mutant(
        "deny left out on an empty side",
        "core/nats/user.py",
        '_NOTHING = _Side(deny=(">",))',
        "_NOTHING = _Side()",
        ("tests/core/test_user.py",),
    ),
    Mutant(
        "watch deletes ignored",
        "core/kubernetes/serviceaccounts.py",
        "                self.remove([key])",
        "                pass",
        ("tests/e2e/test_kubernetes.py", "-k", "recreated"),
    ),
    Mutant(
        "old key kept for ever",
        "core/identity/keyset.py",
        "self._keys = dict(keys)",
        "self._keys = {**self._keys, **keys}",
        ("tests/core/test_decide.py", "tests/core/test_keyset.py"),
    ),
    Mutant(
        "queue group missing",
        "adapters/nats/requests.py",
        "Ear(REQUESTS, queue_group, hear_requests)",
        'Ear(REQUESTS, "", hear_requests)',
        ("tests/e2e/test_replicas.py", "-k", "share_the_load"),
    ),
]


@contextlib.contextmanager
def broken(mutant: Mutant | None) -> Iterator[Path]:
    """Give the root of a copy of the sources, broken by the mutant (None: the copy as it is)."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder) / "src"
        # With what is compiled, but for what another process is just writing.
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("*.pyc.*", "*.egg-info"))
        if mutant is not None:
            mutant.apply(copy)
        yield copy


def run_tests(mutant: Mutant | None, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run some of the suite on broken sources, up to the first failure."""
    with broken(mutant) as source, _FORKS.Pool(1) as fork:
        return fork.apply_async(_pytest, (source, tests)).get(TIMEOUT_SECONDS)


# Half of a short run is imports: each is a fork of one process that has done them, of all but what is broken.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.preloaded"])


def _pytest(source: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    gc.freeze()
    os.chdir(SOURCE.parent)
    os.environ["PYTHONPATH"] = _path(source)
    # pyproject.toml puts the checkout's own sources in front of everything else. Plain, since Hypothesis is imported already.
    options = (
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--no-header",
        "-o",
        f"pythonpath={source} {SOURCE.parent}",
        "--assert=plain",
    )
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main([*options, *tests])
    return subprocess.CompletedProcess(tests, code, said.getvalue(), "")


def run_demo(mutant: Mutant | None) -> subprocess.CompletedProcess[str]:
    """Run the demo on broken sources."""
    with broken(mutant) as source:
        return subprocess.run(
            [sys.executable, "-m", PACKAGE, "demo"],
            env={**os.environ, "PYTHONPATH": _path(source)},
            cwd=SOURCE.parent,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )


def _path(source: Path) -> str:
    """Return a path for modules on which the editable install of the checkout comes later."""
    return f"{source}{os.pathsep}{SOURCE.parent}"
