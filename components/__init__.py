"""The component library: one Kubeflow Pipelines component a file, each usable alone."""

IMAGE = "banditloop:latest"  # `banditloop compile --image` replaces it with the image that runs
