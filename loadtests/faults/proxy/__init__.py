"""The fault proxy: a TCP proxy in a separate process, modelled on Toxiproxy and driven by the same HTTP API.

    python -m chatswarm.loadtests.faults.proxy --api 127.0.0.1:8474

A proxy listens, and joins each connection to its upstream by two pipelines, one per direction. Each toxic has a stub in
the pipelines of its direction, including those of open connections. Whatever a toxic does, what arrives is a prefix of
what was sent: bytes may be late, or the connection may end, but nothing is missing in the middle.
"""
