"""Camera files of other programs, as these write them."""

import re

FLAT = [475.5, 0.0, 321.25, 0.0, 470.25, 238.75, 0.0, 0.0, 1.0]
K = (475.5, 470.25, 321.25, 238.75)
ROWS = [[475.5, 0.0, 321.25], [0.0, 470.25, 238.75], [0.0, 0.0, 1.0]]
LENS = (-0.28, 0.07, 0.001, -0.0007, 0.01)
# Written by cv2.FileStorage, OpenCV 5.0.0.
OPENCV_YAML = """%YAML 1.2
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 475.5, 0., 321.25, 0., 470.25, 238.75, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ -0.28000000000000003, 0.070000000000000007, 0.001,
       -0.00069999999999999999, 0.01 ]
"""
# A vector as OpenCV 5 writes it, an array of one dimension
OPENCV5_YAML = re.sub(
    r"(distortion_coefficients: )!!opencv-matrix\n(\s+)rows: \d+\n\s+cols: \d+\n",
    r"\1!!opencv-nd-matrix\n\2sizes: [ 5 ]\n",
    OPENCV_YAML,
)
OPENCV_JSON = {
    "image_width": 640, "image_height": 480,
    "camera_matrix": {"type_id": "opencv-matrix", "rows": 3, "cols": 3, "dt": "d", "data": FLAT},
    "distortion_coefficients": {"type_id": "opencv-matrix", "rows": 1, "cols": 5, "dt": "d", "data": LENS},
}  # fmt: skip
ROS_CALIBRATION = """image_width: 640
image_height: 480
camera_name: depth
camera_matrix:
  rows: 3
  cols: 3
  data: [475.5, 0, 321.25, 0, 470.25, 238.75, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.28, 0.07, 0.001, -0.0007, 0.01]
"""
ROS2_ECHO = """header:
  frame_id: camera
height: 480
width: 640
distortion_model: plumb_bob
d:
- -0.28
- 0.07
- 0.001
- -0.0007
- 0.01
k:
- 475.5
- 0.0
- 321.25
- 0.0
- 470.25
- 238.75
- 0.0
- 0.0
- 1.0
r:
- 1.0
"""
ROS_JSON = {"height": 480, "width": 640, "distortion_model": "plumb_bob", "D": LENS, "K": FLAT}
OPEN3D = {"width": 640, "height": 480, "intrinsic_matrix": [475.5, 0, 0, 0, 470.25, 0, 321.25, 238.75, 1]}
REALSENSE = {
    "width": 640, "height": 480, "ppx": 321.25, "ppy": 238.75, "fx": 475.5, "fy": 470.25,
    "model": "Brown Conrady", "coeffs": LENS,
}  # fmt: skip
COLMAP = (
    "# Camera list\n#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n1 OPENCV 640 480 475.5 470.25 321.75 239.25 {}\n"
)
