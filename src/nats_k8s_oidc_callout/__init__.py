"""NATS logins for Kubernetes ServiceAccounts, by auth callout."""
