"""The startup and retraining pipelines, and the command line that compiles, submits and runs them."""
