"""This process and this machine: children, streams, signals, open files, text and units."""
