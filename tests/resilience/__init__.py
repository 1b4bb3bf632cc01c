"""The scenarios put to the proof: each with the reference backend, which passes, and with a chat that lacks exactly the
promise that the scenario tests, which fails. A scenario that passes against everything proves nothing.
"""
