"""The event schema, and conversions of events: rows, examples, trajectories, observations, the hold-out split."""
