"""The component library: one Kubeflow Pipelines component per file, each usable on its own."""

IMAGE = "banditloop:latest"  # placeholder; `banditloop compile --image` replaces it with the image that runs
