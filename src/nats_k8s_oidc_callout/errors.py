"""Every exception we raise ourselves.

CalloutError
├── ConfigurationError   the settings are wrong; carries every problem at once; the process exits 2
├── BadKey               text that is not an nkey, a seed or a creds file of the wanted kind
├── BadToken             a NATS JWT that does not decode, verify or fit its type
├── BadBox               an xkey message that does not open
├── Unreadable           a stranger's JSON that is not what was expected
├── BadKeySet            a key endpoint's or file's answer that holds no usable key set
├── BadManifest          a manifest that does not describe ServiceAccounts
├── BadPolicy            a policy file with errors; carries every one at once
├── BadGlob              a glob of a policy whose parts cannot be told apart
├── BadTemplate          a text of a policy with a brace that opens or closes no variable
└── Unreachable          the API server or a key endpoint did not answer as it should

A client that is turned away is not an exception: that is `model.Deny`.
No message ever holds a token, a seed, a password or a URL with user info.
"""


class CalloutError(Exception):
    """What all of ours have in common."""


class ConfigurationError(CalloutError):
    """The settings are invalid. `problems` has one sentence each, led by the variable's name."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class BadKey(CalloutError):
    """Not an nkey, seed or creds file of the wanted kind."""


class BadToken(CalloutError):
    """Not a NATS JWT that verifies and fits."""


class BadBox(CalloutError):
    """An xkey message that does not open."""


class Unreadable(CalloutError):
    """A stranger's JSON that is not what was expected; the message quotes nothing of it."""


class BadKeySet(CalloutError):
    """An answer that holds no usable key set."""


class BadManifest(CalloutError):
    """A manifest that does not describe ServiceAccounts."""


class BadPolicy(CalloutError):
    """A policy file that cannot be used. `problems` has one text each, led by its line; the message is the first."""

    def __init__(self, problems: list[str]) -> None:
        more = len(problems) - 1
        super().__init__(f"line {problems[0]}" + (f" (and {more} more)" if more else ""))
        self.problems = problems


class BadGlob(CalloutError):
    """A glob that cannot be used; the message is a phrase that goes after it: "has ..."."""


class BadTemplate(CalloutError):
    """A text whose variables cannot be read; the message is a phrase that goes after it: "has ..."."""


class Unreachable(CalloutError):
    """A server did not answer as it should; the message says how."""
