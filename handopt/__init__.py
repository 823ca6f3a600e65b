"""handopt fits a rigged 3D hand mesh to depth images."""
