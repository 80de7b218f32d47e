"""The two errors that are reported in one line, without a traceback: invalid input and platform failures."""


class InvalidInput(ValueError):
    """Invalid input. The message names the key or location, the value, and what would be right.

    The command line prints it as one line and exits with 2; the endpoint answers 400.
    """


class PlatformError(OSError):
    """The platform failed or refused the call; retrying later may succeed. The message contains the platform's own.

    The command line prints it as one line and exits with 1.
    """
