"""A policy file: bytes in, what the platform decides out, or every problem at once with its line.

fields     every field, once, for the loader, the JSON schema and the reference
shapes     what a value may look like
strict     YAML without its surprises
findings   problems and warnings, collected
codes      what each of their codes stands for
"""
