"""banditloop: decisions that keep learning in production, as a library of Kubeflow Pipelines components."""
