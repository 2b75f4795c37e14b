"""The contract of the meter as data: models, headers, operations. Shared by client, engine and server."""
