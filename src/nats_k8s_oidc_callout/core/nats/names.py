"""The names that NATS itself has given: subjects of the system, one header, accounts."""

REQUESTS = "$SYS.REQ.USER.AUTH"
"""Where a server asks the callout about a login."""
COMPLAINTS = "$SYS.ACCOUNT.CLIENT.AUTH.ERR"
"""Where a server says which logins failed, and so which of our answers it rejected."""
WHO_AM_I = "$SYS.REQ.USER.INFO"
"""Where a server tells a client its account and permissions."""
SERVER_XKEY = "Nats-Server-Xkey"
"""The header of a sealed request: the curve key of the server that asks."""
GLOBAL_ACCOUNT = "$G"
SYSTEM_ACCOUNTS = ("SYS", "$SYS")
"""The system account's usual names. A client placed there could read and command every server."""
