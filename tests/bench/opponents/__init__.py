"""The opponents of `make bench`: other tools and servers that do the same work, and how they are installed."""
