"""Decides, and never waits: no clock, no socket, no log in here. The files, in the order a request meets them:

callout          request bytes from a NATS server -> Request, and the verdict back into bytes
backlog          what waits: in order, or the freshest first when we are behind
pace             how often floods are served where the kernel limits our processor
hosts            which client hosts flood us, and wait behind the others
decide           the order of all checks, once
tokens           the client's token: its shape, its signature -> VerifiedClaims
keyset           the issuer's last good keys, and when they may be asked for again
issuers          verified claims -> Workload
serviceaccounts  which ServiceAccounts exist, by uid, with their annotations
grants           the encoded permissions of each workload, kept by weight
annotations      what a workload may publish and subscribe: its defaults, and what it asks for
filter           which subjects a tenant may ask for
user             permissions as the JSON of a NATS user
subjects         the NATS subject grammar
placement        which account a client lands in, and who signs for it
natsjwt, xkey, nkeys   NATS' own formats
model            the nouns they all share
"""
