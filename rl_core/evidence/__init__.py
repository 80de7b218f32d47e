"""Evidence from logged decisions that may be checked at any time: tests by betting."""
