"""Tests of the protocol files: a file that nobody has run against the real chat proves nothing.

So each one that can be had runs against a real server: without a fault, killed, cut, and with a planted defect.
"""
