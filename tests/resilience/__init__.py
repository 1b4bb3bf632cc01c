"""Tests of the fault scenarios: a scenario that passes against every chat proves nothing.

So each one runs against the reference backend, which must pass, and against a chat that breaks exactly the promise that
the scenario tests, which must fail.
"""
