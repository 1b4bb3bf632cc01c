"""The wire format: headers, shapes and frames."""
