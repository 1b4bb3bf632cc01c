"""Several worker processes on one database, and how each learns of the others' messages."""
