"""handopt fits a rigged 3D hand mesh to depth images.

>>> import handopt
>>> image = handopt.read_image("image.png", camera="sr305", unit=0.125)
>>> result = handopt.fit(image.depth_mm, image.camera, hand="right")
>>> result.joints_mm  # (21, 3), camera frame: x right, y down, z forward

README.md in this folder describes the rooms of the package. Names load on first use, so `import handopt` is fast.
"""

from importlib import import_module
from typing import Any

_EXPORTS = {
    "handopt.backend": ("Device", "resolve_device", "to_device", "to_numpy"),
    "handopt.input.camera": ("Camera",),
    "handopt.input.camera_spec": ("load_camera",),
    "handopt.ops.closest_points": ("closest_points", "closest_points_backward"),
    "handopt.ops.collision": ("collision", "collision_backward"),
    "handopt.config": ("Config", "FitSettings"),
    "handopt.observation.crop": ("Crop",),
    "handopt.input.depth": ("DepthImage", "read_depth"),
    "handopt.input.reader": ("DepthInput", "read_image"),
    "handopt.ops.splat_loss": ("splat_loss",),
    "handopt.ops.hand_image_loss": ("CollisionTerm", "hand_image_loss"),
    "handopt.errors": (
        "CameraError",
        "ConfigError",
        "DepthError",
        "DeviceError",
        "HandoptError",
        "KernelError",
        "LabelError",
        "NoColourError",
        "NumericalError",
        "ObservationError",
        "OutputError",
        "RigError",
        "ShapeError",
        "SourceError",
        "WorkerError",
    ),
    "handopt.evaluation": ("Evaluation", "evaluate"),
    "handopt.evaluation.mapping": ("map_keypoints",),
    "handopt.fitting": ("FitInput", "Start", "fit", "fit_image", "fit_images", "fit_many"),
    "handopt.fit_hands": ("fit_hands",),
    "handopt.ops.kinematics": ("forward_kinematics", "forward_kinematics_backward"),
    "handopt.ops.joint_limits": ("joint_limits", "joint_limits_backward"),
    "handopt.ops.image_losses": ("depth_loss", "depth_loss_backward", "silhouette_loss", "silhouette_loss_backward"),
    "handopt.observation.observation": ("Observation",),
    "handopt.observation.observe": ("observe",),
    "handopt.storage.fit_folder": ("save",),
    "handopt.assess.pixel_mask": ("pixel_mask",),
    "handopt.storage.hand_folder": ("save_shape",),
    "handopt.export.labels.formats": ("export_labels",),
    "handopt.export.mano.parameters": ("export_mano",),
    "handopt.export.motion.formats": ("export_motion",),
    "handopt.export.rig_gltf": ("write_rig",),
    "handopt.ops.projection": ("project", "project_backward"),
    "handopt.ops.rasterise": ("rasterise",),
    "handopt.ops.splat": ("render_depth", "render_depth_backward"),
    "handopt.proposals.model_file": ("PoseModel", "load_model", "save_model"),
    "handopt.result": ("FitResult",),
    "handopt.rig": ("KEYPOINT_NAMES", "Rig", "default_rig", "load_rig", "with_default_keypoints", "with_keypoints"),
    "handopt.shape": ("ShapeInput", "ShapeResult", "fit_shape"),
    "handopt.storage.track_folder": ("save_track", "save_tracks"),
    "handopt.tracking.api": ("Tracking", "track"),
    "handopt.tracking.hands_api": ("HandsTracking", "track_hands"),
    "handopt.tracking.frame_estimate": ("FrameEstimate",),
    "handopt.tracking.stream.open": ("open_stream",),
    "handopt.tracking.track": ("Track",),
    "handopt.ops.skinning": ("skin", "skin_backward", "skin_normals"),
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("handopt")
    if name not in _HOME:
        raise AttributeError(f"module 'handopt' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
