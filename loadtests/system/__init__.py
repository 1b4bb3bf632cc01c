"""This process and this machine: child processes, streams, signals, open files, text and units."""
