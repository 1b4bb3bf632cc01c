"""The scenarios that come with chatswarm, a TOML file each."""
