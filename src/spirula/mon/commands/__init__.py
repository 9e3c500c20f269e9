"""Commands to monitors: how they are declared, described to clients, checked and answered.

`arguments` are the types of arguments, `table` declares and finds commands, `reply` is what
handlers give. The handlers themselves stand beside the service whose state they are about.
"""
