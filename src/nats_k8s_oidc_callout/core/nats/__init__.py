"""What a NATS server asks, and what we answer.

callout   request bytes from a NATS server -> Request, and the verdict back into bytes
signers   which account a client lands in, and who signs for it
user      permissions as the JSON of a NATS user
subjects  the grammar of subjects
names     subjects, header and accounts that NATS has named itself
natsjwt, xkey, nkeys   NATS' own formats
"""
