"""What a fit leaves on disk: folder, overlay, renders, video and meshes."""

from handopt.output.folder import save
from handopt.output.naming import result_folders

__all__ = ["result_folders", "save"]
