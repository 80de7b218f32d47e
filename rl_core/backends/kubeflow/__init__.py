"""A runner on open-source Kubeflow Pipelines."""
