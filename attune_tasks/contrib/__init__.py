"""Faces for web frameworks, each beside the framework that it is for."""
