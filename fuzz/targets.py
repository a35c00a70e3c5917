"""What is fuzzed, and what must hold for any bytes: a function for each parser, which raises when it does not.

Known refusals (BadKeySet, Deny, Unanswerable …) are answers. Every other exception is a find, and so is an answer that
is wrong by its own words. Nothing in here needs the fuzzer: tests/test_fuzz_corpus.py replays the kept inputs by it.
"""

from collections.abc import Callable, Mapping

from fuzz.cluster import key_set, list_page, manifest, watch
from fuzz.connections import connections
from fuzz.logins import box, request, token
from fuzz.written import annotation, log_text, secret_file

Target = Callable[[bytes], None]

TARGETS: Mapping[str, Target] = {
    target.__name__: target
    for target in (
        token,
        request,
        box,
        key_set,
        watch,
        list_page,
        annotation,
        manifest,
        secret_file,
        log_text,
        connections,
    )
}
