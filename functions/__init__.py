"""Entry points that handle a request or a message: predictor, simulator, logger, trigger, monitor."""
