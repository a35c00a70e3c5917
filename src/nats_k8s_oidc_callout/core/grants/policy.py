"""Which terms the platform gives to which workload: the first rule that matches decides everything."""

from collections.abc import Sequence

from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.lookup import Lookup
from nats_k8s_oidc_callout.core.grants.revoked import Revoked
from nats_k8s_oidc_callout.core.grants.rules import Labels, Rule, Turned
from nats_k8s_oidc_callout.core.grants.terms import Terms
from nats_k8s_oidc_callout.core.model import Reason

NO_RULE = Turned(Reason.NO_RULE, "no rule matches it")


class Policy:
    """The rules in their order. Never changed: another file is another policy."""

    def __init__(
        self, rules: Sequence[Rule], accounts: Sequence[Glob] = (), revoked: Revoked | None = None, digest: str = ""
    ) -> None:
        """`accounts` must match what a template makes an account; `digest` is the file's SHA-256, empty without one."""
        self.rules = tuple(rules)
        self.accounts = tuple(accounts)
        self.revoked = revoked or Revoked()
        self.digest = digest
        self.label_keys = frozenset(key for rule in rules for key, _ in rule.match.labels)
        """The labels of namespaces that rules go by."""
        self._by_name = {rule.name: rule for rule in rules}
        self._literal_accounts = frozenset(rule.account.text for rule in rules if not rule.account.names)
        self._lookup = Lookup([rule.match for rule in rules])

    def terms_of(self, namespace: str, name: str, labels: Labels | None = None) -> Terms | Turned | None:
        """Return the terms of a ServiceAccount, or why it has none; None when it hangs on labels that are not known.

        Not asked at each login: the answer is kept with the grant.
        """
        for number in self._lookup.candidates(namespace, name, labels):
            rule = self.rules[number]
            captured = rule.match.of(namespace, name)
            if captured is None:
                continue
            if rule.match.labels and labels is None:
                return None
            from_labels = rule.match.of_labels(labels or {})
            if from_labels is not None:
                return self._placed(rule, rule.terms_for(namespace, name, captured, from_labels))
        return NO_RULE

    def rule(self, name: str) -> Rule:
        """Return the rule of this name."""
        return self._by_name[name]

    def _placed(self, rule: Rule, terms: Terms | Turned) -> Terms | Turned:
        """Return the terms, unless a template made an account that it may not."""
        if isinstance(terms, Turned) or not rule.account.names:
            return terms
        if terms.account in self._literal_accounts:
            why = f"account {terms.account} is another rule's own"
        elif not any(glob.match(terms.account) is not None for glob in self.accounts):
            why = f"no entry of accounts: matches {terms.account}"
        else:
            return terms
        return Turned(Reason.NO_ACCOUNT, why, rule.name)
