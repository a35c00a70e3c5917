"""At most so much of what others hold.

files    a file
bodies   the body of an HTTP answer
"""
