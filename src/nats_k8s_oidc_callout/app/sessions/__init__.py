"""The live sessions that we let in: they end when they should, and are renewed while logins work.

In the responder:

view        what holds today, for a judgement
looks       asks the cluster about one ServiceAccount, before a session ends for what our watch says of it
judging     who is judged, and when: after a change, after an arrival, again later
arrivals    what the servers tell: events, and whole lists to repair what events missed
kicker      ends sessions, as fast as the rate and the guards allow
guards      when a client may be sent to log in again
hold        an operator's word to stop and to go on, heard by all replicas
control     all of these, put together

For commands:

connecting  the system side, for as long as a command asks it
today       what every ServiceAccount would get now, and where
listing     every session, judged by that
by_hand     kicks that a person asked for
replicas    a word to all replicas: hold, resume
"""
