"""What answers a request or a message: predictor, simulator, logger, trigger, monitor."""
