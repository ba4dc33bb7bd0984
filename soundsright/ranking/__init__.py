"""Who wins, by how much, and what it pays: pure functions of results."""
