"""The SQLite store: writes, reads, schema, checkpoints."""
