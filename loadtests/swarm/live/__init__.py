"""Live figures of the swarm: for watching, never for the verdict."""
