"""What runs: screening, evaluation, a round."""
