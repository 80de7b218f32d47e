"""Training: from logged interactions to an agent's statistics, on one machine or in shards."""
