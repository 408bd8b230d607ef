"""What runs in containers: the project's images and compose.yaml, on a real engine. `make test-docker`."""
