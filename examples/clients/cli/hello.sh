#!/bin/sh
# One publish and one request by the nats CLI. Environment: NAMESPACE, SERVICE_ACCOUNT, NATS_URL, TOKEN_FILE.
set -eu
: "${NATS_URL:=nats://nats.nats-system.svc.cluster.local:4222}" "${TOKEN_FILE:=/var/run/secrets/nats/token}"
# By the environment, since every user of a machine can read a command line.
NATS_TOKEN=$(cat "$TOKEN_FILE")
export NATS_URL NATS_TOKEN
inbox=_INBOX_SA.$NAMESPACE.$(printf %s "$SERVICE_ACCOUNT" | tr . _)

nats pub "$NAMESPACE.numbers.$SERVICE_ACCOUNT" 1
nats request --inbox-prefix="$inbox" "$NAMESPACE.echo.$SERVICE_ACCOUNT" hello
