"""SQLite: writes, reads, and the file."""
