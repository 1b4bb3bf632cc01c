"""The reference chat: widgets post over HTTP, dashboards are notified over WebSockets and refetch the list."""
