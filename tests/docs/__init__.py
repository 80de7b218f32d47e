"""The documentation: its generated sections, its blocks, and what tests know of them."""
