"""Tuning: settings of agent and policy, found by trials on the log or in simulation, and tested on fresh data."""
