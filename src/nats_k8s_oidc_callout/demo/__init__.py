"""The whole story on one machine: a real nats-server, a local issuer, the responder, and real clients."""
