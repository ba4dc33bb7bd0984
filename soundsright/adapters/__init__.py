"""Everything outside the process, a room for each kind: chains, hubs, sandboxes, state."""
