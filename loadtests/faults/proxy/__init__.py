"""The fault proxy: a TCP proxy in a process of its own, shaped like Toxiproxy and driven by the same HTTP API.

    python -m chatswarm.loadtests.faults.proxy --api 127.0.0.1:8474

A proxy listens, and joins each connection to its upstream by two pipelines, one per direction. A toxic is a stage in
the pipelines of one direction, of the connections that are already open as well. Whatever a toxic does, what arrives is
a prefix of what was sent: bytes are late, or the connection ends, but none is missing in the middle.
"""
