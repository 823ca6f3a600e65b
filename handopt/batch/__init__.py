"""Many images: what is missing of their results, done here, in processes, or on a cluster, with one record of each."""
