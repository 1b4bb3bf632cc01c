"""The reference chat: widgets post messages over HTTP, dashboards hear of them over WebSockets and refetch the list."""
