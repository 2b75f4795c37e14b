"""The ledger's cold paths, once for both databases, through SQLAlchemy Core.

What happens once in a while (managing limits, resources, use cases) is written for clarity; what happens per event is in
the databases' own store files.
"""
