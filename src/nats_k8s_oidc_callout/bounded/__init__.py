"""At most so much of what others hold.

files      a file
documents  a file of YAML
bodies     the body of an HTTP answer
compressed what gzip holds
"""
