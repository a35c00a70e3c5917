"""Each security check taken out, one at a time, with what must notice: the other half of the proof of every row."""

from tests.mutants import Mutant

_TOKENS, _ISSUERS, _KEYSET = "core/identity/tokens.py", "core/identity/issuers.py", "core/identity/keyset.py"
_NAMES, _VERIFIED = "core/names.py", "core/identity/verified.py"
_CALLOUT, _CLIENT = "core/nats/callout.py", "adapters/nats/client.py"
_FILTER, _ANNOTATIONS, _GRANTS = "core/grants/filter.py", "core/grants/annotations.py", "core/grants/grants.py"
_SUBJECTS, _USER = "core/nats/subjects.py", "core/nats/user.py"
_BOUNDS = "tests/attack/test_bounds.py"


def never(name: str, file: str, condition: str, *tests: str) -> Mutant:
    """Return the mutant in which a check never says no."""
    return Mutant(name, file, f"if {condition}:", f"if ({condition}) and False:", tests)


def other(name: str, file: str, right: str, wrong: str, *tests: str) -> Mutant:
    return Mutant(name, file, right, wrong, tests)


_OF_TOKENS = ("tests/core/test_tokens.py", "tests/core/test_hostile_tokens.py")
_OF_ISSUERS = ("tests/core/test_issuers.py", "tests/core/test_hostile_tokens.py")
_OF_NAMES = ("tests/core/test_names.py",)
_OF_VERIFIED = ("tests/core/test_verified.py",)
_OF_KEYS = ("tests/core/test_keyset.py",)
_OF_REQUESTS = ("tests/core/test_callout.py",)
_OF_FILTER = ("tests/core/test_filter.py",)
_OF_ANNOTATIONS = ("tests/core/test_annotations.py",)
_OF_GRANTS = ("tests/core/test_grants.py",)
_OF_USER = ("tests/core/test_user.py",)
_OF_SUBJECTS = ("tests/core/test_subjects.py",)

TOKEN_MUTANTS = [
    never("no size cap", _TOKENS, "len(text) > max_bytes", *_OF_TOKENS),
    never("any text is a token", _TOKENS, "not text.isascii()", *_OF_TOKENS),
    never("any number of parts", _TOKENS, "len(parts) != 3", *_OF_TOKENS),
    never("a file as it is", _TOKENS, "text[-1:] in _STRAY", *_OF_TOKENS),
    never("empty parts", _TOKENS, "not all(parts)", *_OF_TOKENS),
    never("crit ignored", _TOKENS, "header.crit is not UNSET", *_OF_TOKENS),
    never("any algorithm", _TOKENS, "header.alg not in ALGORITHMS", *_OF_TOKENS),
    never("any algorithm for any key", _TOKENS, "unverified.alg != key.alg", *_OF_TOKENS),
    never("any kid", _TOKENS, "not legal_kid(header.kid)", *_OF_TOKENS),
    never("signature not checked", _TOKENS, "not proved", *_OF_TOKENS),
    other("two spellings", _TOKENS, "base64url.encode(proof) == signature and ", "",
          "tests/core/test_hostile_tokens.py", "-k", "unused-bits"),
    other("cache across key generations", _VERIFIED, "        if generation != self._generation:\n            return None\n", "",
          *_OF_VERIFIED),
    other("cache without a top", _VERIFIED, "while self.weight > self._bytes_max:", "while False:",
          _BOUNDS, "-k", "verified_tokens"),
    other("expired token stays remembered", _VERIFIED, "proved is not None and now >= proved.exp", "False", *_OF_VERIFIED),
    other("refused tokens are remembered", "core/decide.py", "    proved = issuers.accept(claims, facts.claims, now, key.kid)\n",
          "    proved = issuers.accept(claims, facts.claims, now, key.kid)\n"
          "    facts.verified.keep(unverified, facts.keys.generation, proved)  # type: ignore[arg-type]\n",
          _BOUNDS, "-k", "refused_tokens"),
    other("any number of audiences", _ISSUERS, "MAX_AUDIENCES = 16", "MAX_AUDIENCES = 1600", *_OF_ISSUERS),
    other("remembered tokens have no end", "core/decide.py",
          "return issuers.refuse_now(known, facts.claims, now) or known", "return known", "tests/core/test_decide.py"),
    never("any issuer", _ISSUERS, "claims.iss is UNSET or claims.iss not in rules.issuers", *_OF_ISSUERS),
    never("any audience", _ISSUERS, "rules.audience not in audiences", *_OF_ISSUERS),
    never("any namespace", _ISSUERS, "not isinstance(namespace, str) or not is_label(namespace)", *_OF_ISSUERS),
    never("any name", _ISSUERS, "not isinstance(name, str) or not is_subdomain(name)", *_OF_ISSUERS),
    other("names of 254 characters", _NAMES, "LONGEST = 253", "LONGEST = 999", *_OF_NAMES),
    other("names with a newline", _NAMES, "_LABEL.fullmatch(text)", "_LABEL.match(text)", *_OF_NAMES),
    never("any sub", _ISSUERS, "claims.sub != workload.username", *_OF_ISSUERS),
    never("no times needed", _ISSUERS, "exp is UNSET or nbf is UNSET or iat is UNSET", *_OF_ISSUERS),
    never("expired is fine", _ISSUERS, "now >= proved.exp", *_OF_ISSUERS),
    other("leeway on exp", _ISSUERS, "if now >= proved.exp:", "if now >= proved.exp + 30:", *_OF_ISSUERS),
    never("future is fine", _ISSUERS, "proved.not_before > now + rules.clock_skew_seconds", *_OF_ISSUERS),
    never("any lifetime", _ISSUERS, "lifetime > rules.token_max_lifetime_seconds", *_OF_ISSUERS),
    never("exp before iat", _ISSUERS, "exp <= iat", *_OF_ISSUERS),
    never(
        "warnafter ignored",
        _ISSUERS,
        "proved.warnafter is not None and now >= proved.warnafter",
        *_OF_ISSUERS,
    ),
    never(
        "pods not required", _ISSUERS, "refusal is None and rules.require_pod_bound and not workload.pod", *_OF_ISSUERS
    ),
    other("uid not compared", "core/decide.py", "return not account.uid or account.uid == workload.uid", "return True",
          "tests/core/test_decide.py"),
    never("late requests answered", "core/decide.py", "now > request.expires_at + facts.session.clock_skew_seconds",
          "tests/core/test_decide.py"),
]  # fmt: skip

KEY_MUTANTS = [
    never("key set of any size", _KEYSET, "len(body) > MAX_BYTES", *_OF_KEYS),
    never("any number of keys", _KEYSET, "len(entries) > MAX_KEYS", *_OF_KEYS),
    never("one name for two keys", _KEYSET, "keys.setdefault(key.kid, key) != key", *_OF_KEYS),
    never("empty set is a set", _KEYSET, "not keys", *_OF_KEYS),
    never("private keys", _KEYSET, "any(getattr(jwk, member) is not UNSET for member in _PRIVATE)", *_OF_KEYS),
    never("keys for encryption", _KEYSET, 'jwk.use is not UNSET and jwk.use != "sig"', *_OF_KEYS),
    never("keys that may not verify", _KEYSET, 'jwk.key_ops is not UNSET and "verify" not in jwk.key_ops', *_OF_KEYS),
    never("any alg of a key", _KEYSET, "jwk.alg not in (UNSET, alg)", *_OF_KEYS),
    never("weak RSA", _KEYSET, "n.bit_length() not in _RSA_BITS", *_OF_KEYS),
    never(
        "unsound RSA",
        _KEYSET,
        "n % 2 == 0 or e < 3 or e % 2 == 0 or e.bit_length() > _MAX_EXPONENT_BITS",
        *_OF_KEYS,
    ),
    other("keys never stale", _KEYSET, "age < self.staleness_seconds)", "age < 1e9)", *_OF_KEYS),
    never("no cool-down", _KEYSET, "not self.refresh_is_due(monotonic)", *_OF_KEYS),
    other("old keys kept", _KEYSET, "self._keys = dict(keys)", "self._keys = {**self._keys, **keys}", *_OF_KEYS),
    other("redirects followed", "adapters/jwks.py", "allow_redirects=False", "allow_redirects=True",
          "tests/adapters/test_jwks.py", "-k", "redirect"),
    never("files of any size", "bounded/files.py", "content is None or len(content) > BYTES_MAX",
          "tests/bounded/test_files.py"),
    never("answers of any size", "bounded/bodies.py", "size > bytes_max",
          "tests/adapters/test_jwks.py", "-k", "hundred or largest"),
    never("packed answers", "adapters/jwks.py", 'packing not in ("", "identity")',
          "tests/adapters/test_jwks.py", "-k", "packed"),
    never("our token to anybody", "adapters/jwks.py", "self._trust is Trust.CLUSTER and token",
          "tests/adapters/test_jwks.py", "-k", "token_goes"),
    other("waiters without a top", "adapters/jwks.py", "MAX_WAITERS = 64", "MAX_WAITERS = 64_000",
          "tests/adapters/test_jwks.py", "-k", "at_most_64"),
    other("our token to a look-alike", "core/identity/own_token.py", "return Trust.CLUSTER if host in names and", "return Trust.CLUSTER if",
          "tests/core/test_own_token.py"),
]  # fmt: skip

REQUEST_MUTANTS = [
    never("any audience of a question", _CALLOUT, "claims.aud != AUDIENCE", *_OF_REQUESTS),
    never("any server may sign", _CALLOUT, "claims.iss != question.server_id.id", *_OF_REQUESTS),
    never("another key's header", _CALLOUT, "opened_by and question.server_id.xkey != server_xkey", *_OF_REQUESTS),
    never("clear although sealed is wanted", _CALLOUT, "not clear_allowed", *_OF_REQUESTS),
    other("a question for another issuer", _CALLOUT, "if claims.sub not in subjects:", "if False:", *_OF_REQUESTS),
    other("any user key", _CALLOUT, "nkeys.decode_public(claims.nats.user_nkey, Kind.USER)", "pass", *_OF_REQUESTS),
    other("exp without a top", _CALLOUT, "msgspec.Meta(ge=0, le=1 << 53)", "msgspec.Meta()", *_OF_REQUESTS),
    other("cid without a top", _CALLOUT, "msgspec.Meta(ge=0, le=(1 << 63) - 1)", "msgspec.Meta()", *_OF_REQUESTS),
    other("host without a top", _CALLOUT, "msgspec.Meta(max_length=256)", "msgspec.Meta()", _BOUNDS, "-k", "host_is_short"),
    other("invalid text raises", "core/strangers.py", "(msgspec.DecodeError, UnicodeDecodeError, RecursionError)",
          "(msgspec.DecodeError, RecursionError)", "tests/core/test_strangers.py"),
    other("any checksum", "core/nats/nkeys.py", 'if binascii.crc_hqx(body, 0).to_bytes(2, "little") != crc:', "if False:",
          "tests/core/test_nkeys.py"),
    never("any kind of key", "core/nats/nkeys.py", "body[0] != kind", "tests/core/test_nkeys.py"),
    other("questions not verified", "core/nats/natsjwt.py", "if not nkeys.verify(", "if None is nkeys.verify(",
          *_OF_REQUESTS),
    other("nats-py reads the headers", _CLIENT, "return read_headers(headers) if headers else None",
          "return await super()._process_headers(headers)",
          "tests/attack/test_requests.py", "-k", "malformed_headers"),
    other("a dead reader is not noticed", _CLIENT, "        finally:\n            self.ended.set()\n",
          "        finally:\n            pass\n", "tests/attack/test_connection.py"),
    other("anything is signed", "adapters/nats/logins.py", "not isinstance(nonce, str) or NONCE.fullmatch(nonce) is None",
          "not isinstance(nonce, str)", "tests/adapters/test_nats_trust.py", "-k", "nonces"),
    other("any number of servers", "adapters/nats/addresses.py", "islice(new, DISCOVERED_MAX)", "new",
          _BOUNDS, "-k", "addresses"),
    never("hosts without a top", "core/traffic/flooding.py", "len(self._tallies) >= self._size", _BOUNDS, "-k", "client_hosts"),
    other("server keys without a top", "core/nats/nkeys.py", "lru_cache(maxsize=1024)", "lru_cache(maxsize=None)",
          _BOUNDS, "-k", "keys_of_servers"),
    other("curve keys without a top", "core/nats/xkey.py", "lru_cache(maxsize=_BOXES)", "lru_cache(maxsize=None)",
          _BOUNDS, "-k", "shared_secrets"),
    other("names without a top", "adapters/telemetry/redaction.py", "lru_cache(maxsize=1024)", "lru_cache(maxsize=None)",
          _BOUNDS, "-k", "cleaned"),
    other("why is told to the client", _CALLOUT, "response = _respond(request, signer, iat, error=REFUSAL)",
          'response = _respond(request, signer, iat, error="expired")', *_OF_REQUESTS),
]  # fmt: skip

TENANT_MUTANTS = [
    never("wildcard first", _FILTER, "not subjects.is_literal(first)", *_OF_FILTER),
    never("inboxes of others", _FILTER, 'first.startswith("_")', *_OF_FILTER),
    never("system subjects", _FILTER, "first not in _JETSTREAM_ROOTS", *_OF_FILTER),
    other("all of JetStream", _FILTER, "    if grants is JetStreamGrants.ADMIN:", "    if True:", *_OF_FILTER),
    never("admin hears all", _FILTER, "side is Side.SUBSCRIBE", *_OF_FILTER),
    other("one list for both sides", _FILTER, "if side is Side.PUBLISH else _HEARD", "if True else _HEARD", *_OF_FILTER),
    other("any stream", _FILTER, '"{name}": r"[^.*>]+"', '"{name}": r"[^.]+"', *_OF_FILTER),
    other("any stream of no domain", _FILTER, r'"{stream}": r"(?:[^.*>_][^.*>]*|_[^.*>]+)"', r'"{stream}": r"[^.*>]+"',
          *_OF_FILTER),
    other("wide acknowledgements", _FILTER, '"*.*.{lettered}.*.*.*.*.*.>"', '"*.*.{lettered}.>"', *_OF_FILTER),
    other("all that begins well", _FILTER, "shapes.fullmatch(subject,", "shapes.match(subject,", *_OF_FILTER),
    other("any stream is purged", _FILTER, '("KV_{name}", "OBJ_{name}")', '("{name}",)', *_OF_FILTER),
    other("dots in inboxes", _SUBJECTS, "_INBOX_SA.{namespace}.{name.replace('.', '_')}.>", "_INBOX_SA.{namespace}.{name}.>",
          *_OF_SUBJECTS),
    other("dots in the guide's inboxes", _SUBJECTS, "_INBOX_{namespace}_{name.replace('.', '_')}.>",
          "_INBOX_{namespace}_{name}.>", *_OF_SUBJECTS),
    other("answers anywhere", _ANNOTATIONS, "by_reply = rules.reply_mode is ReplyMode.RESPONSES", "by_reply = True",
          *_OF_ANNOTATIONS),
    other("everybody reads every inbox", _ANNOTATIONS, "inboxes: tuple[str, ...] = (private_inbox(namespace, name), ",
          "inboxes: tuple[str, ...] = (PRIVATE_INBOXES, ", *_OF_ANNOTATIONS),
    never("any number of entries", _ANNOTATIONS, "len(taken) == MAX_ENTRIES", *_OF_ANNOTATIONS),
    never("any number of refusals", _ANNOTATIONS, "len(refusals) == _MAX_REFUSALS", *_OF_ANNOTATIONS),
    other("grants of others", _GRANTS, "key = namespace, name", 'key = "", ""', *_OF_GRANTS),
    other("old annotations", _GRANTS, "if kept is not None and kept.version == version:",
          "if kept is not None:", *_OF_GRANTS),
    other("grants without a top", _GRANTS, "while self.size > CACHE_BYTES and", "while False and", _BOUNDS, "-k", "grants"),
    other("a side left open", _USER, '_NOTHING = _Side(deny=(">",))', "_NOTHING = _Side()", *_OF_USER),
    never("empty tokens", _SUBJECTS, "not token", *_OF_SUBJECTS),
    never("any character", _SUBJECTS, "not _TOKEN.fullmatch(token)", *_OF_SUBJECTS),
    never("any length", _SUBJECTS, "len(subject) > MAX_CHARACTERS", *_OF_SUBJECTS),
    other("any annotation is held", "core/grants/entries.py", "ours = self._keys.get(key)", "ours = key",
          "tests/core/test_entries.py"),
    other("annotations of any length", "core/grants/entries.py", "found[ours] = cut(text)", "found[ours] = text",
          "tests/core/test_serviceaccounts.py"),
    other("half an entry counts", "core/grants/entries.py", 'return f"{head[: end + 1]}{CUT}"', 'return f"{head},{CUT}"',
          "tests/core/test_entries.py"),
    other("annotations without a top", "core/kubernetes/serviceaccounts.py",
          "while self._shares.weight > self._room:", "while False:", _BOUNDS, "-k", "annotations_are_bounded"),
    other("another namespace pays", "core/kubernetes/shares.py", "heaviest = max(", "heaviest = min(", "tests/core/test_shares.py"),
    other("a half line deletes nothing", "core/kubernetes/serviceaccounts.py", "if is_deleted or meta.deletion:", "if is_deleted:",
          "tests/core/test_serviceaccounts_events.py"),
    other("{} is an empty cluster", "core/kubernetes/wire.py",
          'if read.kind != "ServiceAccountList" or not read.metadata.resource_version:', "if False:",
          "tests/core/test_wire.py"),
    other("aliases in manifests", "adapters/manifests.py", "if isinstance(event, yaml.AliasEvent):", "if False:",
          "tests/adapters/test_manifest_forms.py"),
    other("links out of the folder", "adapters/manifests.py", "if not path.resolve().is_relative_to(root):", "if False:",
          "tests/adapters/test_manifests.py"),
]  # fmt: skip

OUTSIDE_MUTANTS = [
    other("unbounded refusals in the log", "adapters/telemetry/sampling.py", "if window[1] < self._per_second:", "if True:",
          _BOUNDS, "-k", "flood"),
    other("unbounded warnings in the log", "adapters/telemetry/logs.py",
          "if level >= WARN and not self._warnings.admit(", "if False and not self._warnings.admit(",
          "tests/adapters/test_telemetry_logs.py", "-k", "one_warning"),
    never("kinds of warnings without a top", "adapters/telemetry/logs.py", "len(self._kinds) >= _KINDS_MAX",
          "tests/adapters/test_telemetry_logs.py", "-k", "closed_set"),
    other("names as they are", "adapters/telemetry/redaction.py", "masked = escape(redact(text))", "masked = text",
          "tests/adapters/test_telemetry_decisions.py", "-k", "what_a_client_chose"),
    other("escape codes reach the terminal", "cli/output.py", "click.echo(escape(line), err=err)", "click.echo(line, err=err)",
          "tests/cli/test_output.py", "-k", "keys"),
    other("text that shows nothing", "core/spelling.py",
          "if text.isprintable() and (text.isascii() or not (ascii_only or _DECEPTIVE.search(text))):",
          "if text.isprintable():", "tests/core/test_spelling.py"),
    other("names of any length", "adapters/telemetry/redaction.py",
          'return masked if len(masked) <= limit else f"{masked[:limit]}…"', "return masked",
          "tests/adapters/test_telemetry_decisions.py"),
    never("connections without a top", "adapters/http/connections.py", "len(self._open) > MAX_CONNECTIONS",
          "tests/adapters/test_http.py", "-k", "crowd"),
    other("lines of any length", "adapters/http/connections.py", "max_line_size=LINE_BYTES_MAX,", "max_line_size=1 << 30,",
          "tests/adapters/test_http.py", "-k", "huge_heads"),
    other("slow heads are waited for", "adapters/http/connections.py", "call_later(IDLE_SECONDS,", "call_later(3600,",
          "tests/adapters/test_http.py", "-k", "slow_head"),
    other("heads in any number of pieces", "adapters/http/connections.py", "self._pieces >= HEAD_PIECES_MAX or ", "",
          "tests/adapters/test_http.py", "-k", "crumbs"),
    other("a connection for any number of requests", "adapters/http/connections.py",
          "response = answer(request)\n            # aiohttp answers what is pipelined without giving the loop a turn where tasks start eagerly (Python 3.12).\n            response.force_close()",
          "response = answer(request)", "tests/adapters/test_http.py", "-k", "one_request"),
    never("metrics rendered for each caller", "adapters/http/server.py", "now - self._rendered >= RENDER_SECONDS",
          "tests/adapters/test_http.py", "-k", "rendered_once"),
    never("any number waits", "adapters/http/door.py", "self._count > WAITING_MAX",
          "tests/adapters/test_http.py", "-k", "its_turn"),
    other("all callers at once", "adapters/http/door.py", '                caller.close()\n                log.debug("http caller gone", error=type(exc).__name__)\n            await asyncio.sleep(REST_SECONDS)',
          "                caller.close()", "tests/adapters/test_http.py", "-k", "come_in_one"),
    other("kept look-ups of any weight", "adapters/kubernetes/lookup.py", "while self._kept_bytes > KEPT_BYTES_MAX:",
          "while False:", "tests/adapters/test_kubernetes_lookup.py", "-k", "kept_answers_are_bounded"),
    other("old tokens keep annotations", "adapters/kubernetes/lookup.py",
          "if answer is not None and uid and answer.uid and answer.uid != uid:", "if False:",
          "tests/adapters/test_kubernetes_lookup.py", "-k", "old_tokens"),
    other("look-ups kept while idle", "adapters/kubernetes/lookup.py", "        self._sweep_later()\n\n    def _forget",
          "\n    def _forget", "tests/adapters/test_kubernetes_lookup.py", "-k", "idle"),
    other("scoped releases welcome floods", "responder/turns.py",
          "if verdict.reason is DropReason.OUT_OF_SCOPE and not verdict.verified:", "if False:",
          "tests/test_responder.py", "-k", "scoped_release_slows"),
    other("siblings' workloads are floods", "core/decide.py", "verified = verdict.workload is not None", "verified = False",
          "tests/test_responder.py", "-k", "scoped_release_slows"),
    other("lanes without a top", "responder/turns.py", "while self._room.is_short:", "while False:",
          "tests/test_responder.py", "-k", "queue_is_bounded"),
    other("waiting logins without a top", "responder/turns.py", "elif self._waiting_bytes > _WAITING_BYTES:", "elif False:",
          "tests/test_responder.py", "-k", "waits_for_the_cluster_is_bounded"),
    other("good logins go before floods", "responder/turns.py", "            if self._slow:\n", "            if False:\n",
          "tests/test_responder.py", "-k", "floods_are_shed_first"),
    never("long work at once", "core/decide.py", "not asked.in_turn and is_heavy(account.annotations)",
          "tests/test_responder.py", "-k", "long_work_waits"),
    other("answers too large are sent", "responder/turns.py", "if len(payload) > self._voice.max_payload():", "if False:",
          "tests/test_responder.py", "-k", "too_large"),
]  # fmt: skip

SECURITY_MUTANTS = [*TOKEN_MUTANTS, *KEY_MUTANTS, *REQUEST_MUTANTS, *TENANT_MUTANTS, *OUTSIDE_MUTANTS]
