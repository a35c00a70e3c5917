"""At most so much of what others hold, and whom to ask over HTTPS.

files      a file
documents  a file of YAML
bodies     the body of an HTTP answer
compressed what gzip holds
trust      the CAs of the system
"""
