"""The motion of a track on other skeletons: characters, VRM, BVH, USD, and the poses of SMPL-H and MANO."""
