"""Decides, and never waits: no clock, no socket, no log in here. The rooms, in the order a request meets them:

nats/        what a NATS server asks, and what we answer
traffic/     what waits, and what floods
decide       the order of all checks, once
identity/    whose token this is
kubernetes/  which ServiceAccounts exist
grants/      what a workload may publish and subscribe
model        the nouns they all share
names        our own, and Kubernetes' grammar of names
strangers, spelling, base64url, weight   bytes that somebody else chose: into a type, onto a line, decoded, weighed
"""
