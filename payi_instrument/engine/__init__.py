"""The embedded meter: operations, pricing, limits and the ledger on SQLite or PostgreSQL."""
