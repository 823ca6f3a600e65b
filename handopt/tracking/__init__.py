"""Following one hand through a sequence of depth images."""
