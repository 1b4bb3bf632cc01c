"""From one message to every dashboard's socket."""
