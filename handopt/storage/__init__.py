"""What a fit leaves on disk: folder, overlay, renders, video and meshes."""

from handopt.storage.fit_folder import save
from handopt.storage.naming import result_folders

__all__ = ["result_folders", "save"]
