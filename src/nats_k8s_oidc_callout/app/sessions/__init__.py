"""The live sessions that we let in, for commands.

connecting  the system side, for as long as a command asks it
today       what every ServiceAccount would get now, and where
listing     every session, judged by that
by_hand     kicks that a person asked for
replicas    a word to all replicas: hold, resume
"""
