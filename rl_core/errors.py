"""The one error that is somebody's mistake rather than ours."""


class InvalidInput(ValueError):
    """Input that cannot be used: names the key or place, the value, and what would be right.

    The command line prints it as one line and exits with 2; the endpoint answers 400.
    """
