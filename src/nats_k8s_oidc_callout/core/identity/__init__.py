"""Whose token this is.

tokens     the client's token: its shape, its signature -> VerifiedClaims
keyset     the issuer's last good keys, and when they may be asked for again
issuers    verified claims -> Workload
verified   which tokens were verified before
own_token  who may see our own token, and what it claims
"""
