"""A Subtensor node in this process: the JSON-RPC, the runtime and the ledger that the Bittensor SDK expects."""
