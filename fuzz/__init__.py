"""Fuzzers for every parser of bytes that strangers write. `make fuzz` runs them; targets has what must hold."""
