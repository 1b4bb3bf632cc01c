"""`chatswarm capacity`: how much load a chat holds, and what gave out: it, the rig, or the machine that they share."""
