"""Compiled pipelines (KFP IR): reading and validation, and the cron expressions of schedules."""
