"""`python -m pipelines` runs the command line banditloop."""

from banditloop.pipelines.cli.main import main

main()
