"""The protocol files that come with chatswarm; docs/protocol-files.md is their manual."""
