"""The startup and retraining pipelines, their compiler, and the command line."""
