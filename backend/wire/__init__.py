"""What goes over the wire: headers, shapes and frames."""
