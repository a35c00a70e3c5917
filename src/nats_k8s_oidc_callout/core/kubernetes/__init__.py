"""Which ServiceAccounts exist, and which labels their namespaces have.

serviceaccounts  by uid, with their annotations
namespaces       the labels that rules use
relist           a whole list, taken into either of them
wire             what the API server writes: a list, an event, an object
versions         the order of resource versions
shares           what each namespace's annotations weigh
"""
