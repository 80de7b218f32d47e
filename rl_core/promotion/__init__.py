"""Promotion: changes of the release, and the decisions of evaluator and monitor that lead to them."""
