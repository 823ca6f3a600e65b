"""What other programs open: meshes, rigs, animations."""
