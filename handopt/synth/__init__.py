"""Labelled synthetic depth images: random subjects and poses, a triangle z-buffer, and a sensor's flaws."""
