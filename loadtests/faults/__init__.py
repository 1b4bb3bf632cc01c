"""What goes wrong on purpose, on schedule, with evidence, and healed on every way out."""
