"""Reports: the numbers about a loop, and the HTML pages that show them."""
