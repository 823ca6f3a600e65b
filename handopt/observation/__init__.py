"""From a depth image to the hand in it: surfaces, palm proposals, candidates, the forearm cut off, points, the crop."""
