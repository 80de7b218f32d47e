"""The errors that are not ours: somebody's mistake, and a platform's."""


class InvalidInput(ValueError):
    """Input that cannot be used: names the key or place, the value, and what would be right.

    The command line prints it as one line and exits with 2; the endpoint answers 400.
    """


class PlatformError(OSError):
    """A platform that does not do what it is asked: says what it says. Whoever asks later may find it willing.

    The command line prints it as one line and exits with 1.
    """
