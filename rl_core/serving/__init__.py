"""Serving: predict and reward requests, the traffic split, the outbox and the metrics of one process."""
