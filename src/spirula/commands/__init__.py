"""Commands as daemons declare them: arguments, the table that clients are told, answers.

Monitors and managers declare theirs with it; admin sockets have a table of their own (`conf`).
"""
