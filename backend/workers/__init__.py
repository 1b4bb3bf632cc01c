"""Several processes on one database: started, and told of each other's messages."""
