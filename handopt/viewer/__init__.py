"""A hand in a browser: scenes in 3D, pages that need no network, and the review of many fits."""
