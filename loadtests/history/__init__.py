"""The observations of a run on disk: one folder per run, with one file per process and a manifest."""
