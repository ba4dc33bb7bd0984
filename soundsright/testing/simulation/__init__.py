"""Whole rounds in a simulated world, with planted faults and invariants that are checked after each."""
