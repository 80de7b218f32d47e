"""Features: named features of contexts and actions to the numbers that models see, fitted and saved with the policy."""
