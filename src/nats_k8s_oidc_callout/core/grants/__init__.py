"""What a workload may publish and subscribe.

grants       the encoded permissions of each workload, kept by weight
annotations  its defaults, and what it asks for
entries      how much of an annotation is read
policy       which terms the platform gives to whom
terms        all that the platform decides about one workload
intents      what JetStream intents come to
filter       which subjects a tenant may ask for
admission    the same for Kubernetes, which then refuses at `kubectl annotate`

For commands that ask about grants:
reach        which subjects a grant reaches, exactly
cases        a case of a policy's test table
holders      what one workload has of a subject
upto         what a rule could give to somebody
nearest      which rule or ceiling came nearest
"""
