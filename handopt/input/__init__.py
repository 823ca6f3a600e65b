"""From files and cameras to depth in millimetres: images, cameras, what lies beside them, and sequences."""
