"""What runs: rounds, the validator, the miner, pages and reports. A room for each."""
