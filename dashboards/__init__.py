"""The inbox, the widget and the API page: static files, packaged so that the backend can find them."""
