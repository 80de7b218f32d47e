"""What every part of banditloop shares: the bandit domain, and the backends that know a platform."""
