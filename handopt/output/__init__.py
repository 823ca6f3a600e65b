"""What a fit leaves on disk: folder, overlay, renders, video and meshes."""

from handopt.output.folder import result_folders, save

__all__ = ["result_folders", "save"]
