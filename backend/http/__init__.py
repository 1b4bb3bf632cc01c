"""HTTP connections: how many, for how long, and who is let in."""
