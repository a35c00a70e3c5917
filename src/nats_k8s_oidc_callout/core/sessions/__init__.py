"""The live sessions that we let in: who, where, until when.

ending    when one ends by itself
label     what a session's name says to every replica
table     all of them, by connection and by workload, and when each is due for renewal
grown     earlier grants that today's contain
judging   whether one may go on
turns     in what order, and how fast
proofs    which ServiceAccounts are looked up, so that nobody ends by what a watch that hangs left us with
masses    when one cause condemns so many that it may be a mistake
kicks     which are ended next, how fast, and when not
"""
