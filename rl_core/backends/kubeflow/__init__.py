"""An open-source Kubeflow Pipelines as the runner."""
