"""From a depth image to the hand in it: surfaces, palms, candidates, the forearm cut off, its points and its crop."""
