"""What things cost: one file for each figure, and a runner that prints them beside what they are to reach."""
