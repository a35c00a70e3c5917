"""Which ServiceAccounts exist.

serviceaccounts  by uid, with their annotations
wire             what the API server writes: a list, an event, an object
versions         the order of resource versions
shares           what each namespace's annotations weigh
"""
