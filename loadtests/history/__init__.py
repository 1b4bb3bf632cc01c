"""All observations of a run, on disk: one folder per run, one file per process, and a manifest."""
