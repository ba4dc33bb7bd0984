"""The services of the package: rounds, the validator, the miner, pages and reports. Each has its own room."""
