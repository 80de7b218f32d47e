"""python -m pipelines is banditloop."""

from pipelines.cli import main

main()
