"""Local runs: broker, database and services as background processes of one folder and one block of ports.

Commands and tests use `fleet` (what can be done) and `layout` (where things are).
"""
