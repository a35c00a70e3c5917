"""What waits, and what floods.

backlog   what waits: in order, or the freshest first when we are behind
pace      how often floods are served where the kernel limits our processor
flooding  which client hosts flood us, and wait behind the others
"""
