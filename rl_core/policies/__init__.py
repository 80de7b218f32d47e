"""Policy directories, their manifests, and the release: the versions that serve."""
