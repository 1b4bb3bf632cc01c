"""The swarm's own HTTP and WebSockets, on gevent's sockets."""
