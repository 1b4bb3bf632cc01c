"""HTTP connections: limits on number and time, access control, and responses."""
